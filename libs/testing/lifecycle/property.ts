import fc from 'fast-check';
import { attemptCommands, claim, finishAll, recover } from './attempt-commands.ts';
import { Command } from './command.ts';
import type { Act } from './command.ts';
import { hasEnded } from './life.ts';
import { HEIR, Model, PARTITIONS, WORKERS } from './model.ts';
import type { DatabaseOfTasks } from './model.ts';
import { acquire, endLeases, join, ownershipCommands, settle, timeCommands } from './ownership-commands.ts';
import { userCommands } from './user-commands.ts';

/** More than any run claims in. */
const MOST_ROUNDS = 50;

export interface LifecycleOptions {
  readonly maxCommands: number;
  /** Whether the database's clock is moved. */
  readonly movesTime: boolean;
  /** Counts each change of status that was seen: see EVERY_CHANGE. */
  readonly changes: Map<string, number>;
}

/**
 * Whatever users and workers do to tasks, and whatever becomes of workers, the stores answer as the model does, every task
 * gets from one state to the next as it may, and in the end none is lost: see model.ts, life.ts and transitions.ts.
 *
 * @param fresh a database without tasks, all partitions at epoch 0
 */
export function lifecycleProperty(
  fresh: () => Promise<DatabaseOfTasks>,
  { maxCommands, movesTime, changes }: LifecycleOptions,
) {
  const drawn = [
    ...userCommands,
    ...attemptCommands,
    ...ownershipCommands,
    ...(movesTime ? timeCommands : []),
  ];
  const commands = fc.commands(drawn, {
    ...{ maxCommands, size: 'max' },
  });
  return fc.asyncProperty(commands, async (sequence) => {
    const database = await fresh();
    const model = new Model(changes);
    const perform = (...acts: readonly Act[]) => runAll(acts, model, database);
    for (const id of WORKERS) await perform(join(id), settle(id));
    await perform(acquire('w0', 0, 'next'), acquire('w0', 1, 'next'));
    await fc.asyncModelRun(() => ({ model, real: database }), sequence);
    await end(model, database, perform);
  });
}

async function runAll(acts: readonly Act[], model: Model, database: DatabaseOfTasks): Promise<void> {
  for (const act of acts) await new Command(act).run(model, database);
}

/** All workers are gone, another takes over, and does what there is to be done. */
async function end(
  model: Model,
  database: DatabaseOfTasks,
  perform: (...acts: readonly Act[]) => Promise<void>,
): Promise<void> {
  await perform(...WORKERS.map(endLeases), join(HEIR), settle(HEIR));
  for (let partition = 0; partition < PARTITIONS; partition++)
    await perform(acquire(HEIR, partition, 'next'));
  await perform(recover(HEIR, 0.5));
  for (let round = 0; dueOf(model, database).length > 0; round++) {
    if (round === MOST_ROUNDS) throw new Error('what is due is claimed, and claimed again');
    await perform(claim(HEIR, 100), finishAll(HEIR, 'completes'));
  }
  const left = model.lives.filter((life) => life !== 'GONE' && life.status === 'RUNNING');
  if (left.length > 0) throw new Error(`${left.length} tasks run though nobody runs them`);
}

/** What has not ended, and whose time and turn have come. */
const dueOf = ({ lives }: Model, database: DatabaseOfTasks) =>
  lives.filter(
    (life) => !hasEnded(life) && life !== 'GONE' && !life.blocked && life.dueAtMs <= database.nowMs(),
  );
