/** What workers do with tasks. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterFailure } from '../../core/task.ts';
import type { AttemptEnd, ClaimedTask, Outcome } from '../../db/stores.ts';
import { EVERYWHERE } from '../database-under-test.ts';
import { agree, Command } from './command.ts';
import type { Act } from './command.ts';
import { isRunning } from './life.ts';
import type { Life } from './life.ts';
import type { DatabaseOfTasks, Model } from './model.ts';
import { someWorker } from './ownership-commands.ts';
import { nthTask } from './user-commands.ts';

const PEEK_HORIZON_MS = 60_000;

/** Under what it believes to hold. */
export const claim = (id: string, limit: number): Act => ({
  text: `${id} claims ${limit} at most`,
  event: 'claim',
  possible: (model) => model.worker(id).held.length > 0,
  async perform(model, database) {
    const worker = model.worker(id);
    const { execution } = database.worker(id);
    const { held, tasks } = await execution.claim({
      ...{ claimId: randomUUID(), workerId: id, held: worker.held, limit },
    });
    const standing = worker.held.filter((part) => model.stands(part)).map(({ partition }) => partition);
    agree('the partitions that it still holds', held.toSorted(), standing.toSorted());
    judgeClaim(model, database, { limit, standing, tasks });
    model.claimed(worker, tasks);
    const payloads = await execution.payloads(tasks);
    for (const { id: task, payload } of tasks) agree('a payload read apart', payloads.get(task), payload);
  },
});

/** As many as may be, each of them claimable, and none of them while one of its partition is left that goes first. */
function judgeClaim(
  model: Model,
  database: DatabaseOfTasks,
  { limit, standing, tasks }: { limit: number; standing: readonly number[]; tasks: readonly ClaimedTask[] },
): void {
  const { toleranceMs } = database;
  const share = Math.ceil(limit / Math.max(1, standing.length));
  let most = 0;
  for (const partition of standing) {
    const due = model.claimable(partition, database.nowMs());
    const taken = tasks.filter((task) => task.partition === partition);
    const left = due.filter(({ id }) => !taken.some((task) => task.id === id));
    most += Math.min(share, due.length);
    for (const task of taken) {
      const life = due.find(({ id }) => id === task.id);
      if (life === undefined) throw new Error(`task ${model.ids.indexOf(task.id)} is not to be claimed`);
      agree('a claimed task', claimView(task), {
        ...claimView(life),
        attempt: life.attempt + 1,
        epoch: model.owners[partition]?.epoch,
      });
      agree('when it was due', Math.abs(task.dueAtMs - life.dueAtMs) <= toleranceMs, true);
      const first = left.find((other) => goesBefore(other, life, toleranceMs));
      if (first !== undefined)
        throw new Error(
          `task ${model.ids.indexOf(task.id)} was claimed before task ${model.ids.indexOf(first.id)}`,
        );
    }
  }
  agree('how many were claimed', tasks.length, Math.min(limit, most));
}

const claimView = (of: Life | ClaimedTask) => ({
  ...{ attempt: of.attempt, failures: of.failures, priority: of.priority, policy: of.policy },
  ...{
    serial: of.serial,
    payload: of.payload,
    partition: of.partition,
    epoch: 'epoch' in of ? of.epoch : undefined,
  },
});

function goesBefore(a: Life, b: Life, toleranceMs: number): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if (toleranceMs > 0) return a.dueAtMs + toleranceMs < b.dueAtMs;
  return a.dueAtMs < b.dueAtMs || (a.dueAtMs === b.dueAtMs && a.id < b.id);
}

const HOWS = {
  completes: (): AttemptEnd => ({ kind: 'COMPLETED' }),
  'completes with a result': (): AttemptEnd => ({ kind: 'COMPLETED', result: '{"done":[1]}' }),
  'throws, to be retried at once': (task: ClaimedTask) => thrown(task, 0),
  'throws, to be retried later': (task: ClaimedTask) => thrown(task, 0.9),
  'throws PermanentFailure': (): AttemptEnd => ({
    kind: 'FAILED',
    error: { name: 'PermanentFailure', message: 'never' },
  }),
  'throws RetryLater': (): AttemptEnd => ({ kind: 'HANDED_BACK', delayMs: 600_000 }),
  'is handed back': (): AttemptEnd => ({ kind: 'HANDED_BACK' }),
};
type How = keyof typeof HOWS;

/** As apps/worker-node/executor.ts makes an outcome of an error. */
function thrown({ failures, policy }: ClaimedTask, random: number): AttemptEnd {
  const error = { name: 'Error', message: 'thrown' };
  const next = afterFailure(failures, policy, { next: () => random });
  return next.status === 'FAILED'
    ? { kind: 'FAILED', error }
    : { kind: 'RETRY', delayMs: next.delayMs, error };
}

/** The outcome of an attempt; again, where it was reported before. */
const finish = (nth: number, which: 'last' | 'one before', how: How): Act => ({
  text: `the ${which === 'last' ? 'last attempt' : 'attempt before the last'} of task ${nth} ${how}`,
  event: 'outcome',
  possible: (model) => attemptOf(model, nth, which) !== undefined,
  async perform(model, database) {
    const attempt = attemptOf(model, nth, which);
    if (attempt !== undefined) await report(model, database, attempt.workerId, [attempt.task], how);
  },
});

/** Whoever has it in hand. */
function attemptOf({ workers, ids }: Readonly<Model>, nth: number, which: 'last' | 'one before') {
  return [...workers.values()]
    .flatMap(({ id: workerId, inHand }) => inHand.map(({ task }) => ({ workerId, task })))
    .filter(({ task }) => task.id === ids[nth])
    .sort((a, b) => a.task.attempt - b.task.attempt)
    .at(which === 'last' ? -1 : -2);
}

export const finishAll = (id: string, how: How): Act => ({
  text: `${id}: everything in hand ${how}`,
  event: 'outcome',
  possible: (model) => model.workers.get(id)?.inHand.some(({ ended }) => !ended) === true,
  async perform(model, database) {
    const tasks = model
      .worker(id)
      .inHand.filter(({ ended }) => !ended)
      .map(({ task }) => task);
    // A worker that has lost an attempt and made another reports the last.
    const last = tasks.filter((task, index) => !tasks.slice(index + 1).some((other) => other.id === task.id));
    await report(model, database, id, last, how);
  },
});

async function report(
  model: Model,
  database: DatabaseOfTasks,
  workerId: string,
  tasks: readonly ClaimedTask[],
  how: How,
): Promise<void> {
  const worker = model.worker(workerId);
  const outcomes = tasks.map((task): Outcome => ({ ...task, workerId, end: HOWS[how](task) }));
  const results = await database.worker(workerId).execution.finish(outcomes, model.settledBy(worker, tasks));
  const nowMs = database.nowMs();
  const expected = tasks.map((task, index) =>
    model.outcome(task, outcomes[index]?.end ?? HOWS.completes(), nowMs),
  );
  agree('what became of the outcomes', results, expected);
  for (const attempt of worker.inHand) if (tasks.includes(attempt.task)) attempt.ended = true;
}

export const recover = (id: string, jitter: number): Act => ({
  text: `${id} recovers`,
  event: 'recovery',
  async perform(model, database) {
    const worker = model.worker(id);
    const { held, incarnations } = worker;
    const recovered = await database.worker(id).execution.recover({ held, own: incarnations, jitter });
    const expected = model.recovered(worker, jitter, database.nowMs());
    agree(
      'what it recovered',
      recovered.toSorted((a, b) => a.id - b.id),
      expected,
    );
  },
});

/** It compares what it runs with what the database says it runs, and looks at what comes due. */
const look = (id: string): Act => ({
  text: `${id} looks`,
  event: 'other',
  async perform(model, database) {
    const { incarnations, held } = model.worker(id);
    const { execution } = database.worker(id);
    const running = await execution.running(incarnations, EVERYWHERE);
    const lives = model.lives.filter(isRunning).filter(({ run }) => incarnations.includes(run.incarnation));
    agree(
      'what runs',
      running.map((row) => [row.id, row.attempt, row.incarnation, row.cancelRequested]),
      lives.map(({ id: task, attempt, run, cancelRequested }) => [
        task,
        attempt,
        run.incarnation,
        cancelRequested,
      ]),
    );
    const { due } = await execution.peek(held, PEEK_HORIZON_MS, incarnations);
    const expected = model.dueBy(held, database.nowMs() + PEEK_HORIZON_MS);
    agree(
      'where something is due',
      due.map(({ partition }) => partition).sort(),
      expected.map(({ partition }) => partition).sort(),
    );
  },
});

const how = fc.constantFrom<How>(...(Object.keys(HOWS) as How[]), 'throws PermanentFailure');
const of = (act: (id: string) => Act) => someWorker.map((id) => new Command(act(id)));
const claims = fc
  .tuple(someWorker, fc.constantFrom(100, 1, 2))
  .map(([id, limit]) => new Command(claim(id, limit)));
const finishes = fc
  .tuple(nthTask, fc.constantFrom(...(['last', 'last', 'one before'] as const)), how)
  .map(([nth, which, by]) => new Command(finish(nth, which, by)));

export const attemptCommands: fc.Arbitrary<Command>[] = [
  ...Array<typeof claims>(10).fill(claims),
  ...Array<typeof finishes>(10).fill(finishes),
  fc.tuple(someWorker, how).map(([id, by]) => new Command(finishAll(id, by))),
  ...[of((id) => recover(id, 0)), of((id) => recover(id, 0.7)), of(look)],
];
