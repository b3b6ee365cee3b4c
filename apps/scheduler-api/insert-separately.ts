import { invariant } from '../../libs/core/invariant.ts';
import { InvalidInputError } from '../../libs/db/stores.ts';
import type { TaskOnce, TaskRecord, TaskStore } from '../../libs/db/stores.ts';
import { keyInFlight, keyReused } from './idempotency.ts';

/** How tasks are stored: each as often as it is asked for, or once. */
export type Insertion = Pick<TaskStore, 'insert' | 'insertOnce'>;

/**
 * Stores tasks in one statement; where the database refuses that for what one of them holds, in several, until that one
 * stands alone: it does not fail its neighbours. Never rejects.
 * @param keepMs how long Idempotency-Keys are remembered
 * @returns each task as it was stored, or why it was not, in order
 */
export async function insertSeparately(
  store: Insertion,
  asked: readonly TaskOnce[],
  keepMs: number,
): Promise<(TaskRecord | Error)[]> {
  try {
    return await insertTogether(store, asked, keepMs);
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

/** Stores all of them or, where it rejects, none; but not those whose Idempotency-Key was another request's, or is in flight. */
export async function insertTogether(
  store: Insertion,
  asked: readonly TaskOnce[],
  keepMs: number,
): Promise<(TaskRecord | Error)[]> {
  const records = asked.every(({ once }) => once === null)
    ? await store.insert(asked.map(({ task }) => task))
    : await store.insertOnce(asked, keepMs);
  invariant(records.length === asked.length, 'insert returns one record a task');
  return records.map((record) => {
    if (record === 'reused') return keyReused();
    return record === 'in flight' ? keyInFlight() : record;
  });
}
