import { invariant } from '../../libs/core/invariant.ts';
import { InvalidInputError } from '../../libs/db/stores.ts';
import type { NewTask, Once, StoredTask, TaskOnce, TaskStore } from '../../libs/db/stores.ts';
import { keyInFlight, keyReused } from './idempotency.ts';

/** How tasks are stored: each as often as it is asked for, or once. */
export type Insertion = Pick<TaskStore, 'insert' | 'insertOnce'>;

/**
 * Stores the tasks of one request in one statement: all, or none where it rejects.
 * @param once null: as often as it comes
 * @param keepMs how long Idempotency-Keys are remembered
 * @throws what the INSERT failed with, or Problem `idempotency-key-reused` or `-in-flight`
 */
export async function insertTogether(
  store: Insertion,
  tasks: readonly NewTask[],
  once: Once | null,
  keepMs: number,
): Promise<StoredTask[]> {
  if (once === null) return oneEach(tasks, await store.insert(tasks));
  const asked = tasks.map((task) => ({ task, once }));
  return (await insertOnce(store, asked, keepMs)).map((stored) => {
    if (stored instanceof Error) throw stored;
    return stored;
  });
}

/**
 * Stores tasks in one statement; where the database refuses that for what one of them holds, in several, until that one
 * stands alone: it does not fail its neighbours. Never rejects.
 * @param keepMs how long Idempotency-Keys are remembered
 * @returns what was stored, or why it was not, in order
 */
export async function insertSeparately(
  store: Insertion,
  asked: readonly TaskOnce[],
  keepMs: number,
): Promise<(StoredTask | Error)[]> {
  try {
    if (asked.some(({ once }) => once !== null)) return await insertOnce(store, asked, keepMs);
    const tasks = asked.map(({ task }) => task);
    return oneEach(tasks, await store.insert(tasks));
  } catch (error) {
    if (!(error instanceof InvalidInputError) || asked.length === 1) return asked.map(() => error as Error);
    // Nothing was stored.
    const middle = asked.length >> 1;
    return [
      ...(await insertSeparately(store, asked.slice(0, middle), keepMs)),
      ...(await insertSeparately(store, asked.slice(middle), keepMs)),
    ];
  }
}

async function insertOnce(
  store: Insertion,
  asked: readonly TaskOnce[],
  keepMs: number,
): Promise<(StoredTask | Error)[]> {
  return oneEach(asked, await store.insertOnce(asked, keepMs)).map((stored) => {
    if (stored === 'reused') return keyReused();
    return stored === 'in flight' ? keyInFlight() : stored;
  });
}

function oneEach<Outcome>(tasks: readonly unknown[], outcomes: Outcome[]): Outcome[] {
  invariant(outcomes.length === tasks.length, 'insert tells of each task');
  return outcomes;
}
