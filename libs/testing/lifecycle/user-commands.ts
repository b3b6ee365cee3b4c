/** What users do to tasks. */
import fc from 'fast-check';
import type { NewTask, TaskChange } from '../../db/stores.ts';
import { agree, Command } from './command.ts';
import type { Act } from './command.ts';
import { cancelled, patched, ranNow, removed, retried, submitted, versionOf } from './life.ts';
import type { Answer, Life, Next } from './life.ts';
import type { DatabaseOfTasks, Model } from './model.ts';
import type { Event } from './transitions.ts';

/** Few, so that much becomes of each. */
const MOST_TASKS = 3;
export const nthTask = fc.constantFrom(0, 0, 1, 2);

/** Far more than a test takes, and less than the clock is moved by. */
const LATER_MS = 600_000;

/** Attempts are few, so that budgets end; and delays are either none or long. */
const submission = fc
  .record({
    delayMs: fc.constantFrom(0, 0, 0, LATER_MS),
    priority: fc.constantFrom(0, 0, 1, 9),
    maxAttempts: fc.constantFrom(1, 2, 3, undefined),
    key: fc.constantFrom('a', 'a', 'a', 'b'),
    serial: fc.constantFrom(false, true, true),
  })
  .map(({ delayMs, priority, maxAttempts, key, serial }): NewTask => ({
    ...{ name: 'lifecycle', key, serial, payload: 'submitted', scheduledAtMs: null, delayMs, priority },
    policy: {
      ...(maxAttempts !== undefined && { maxAttempts }),
      backoff: { baseMs: LATER_MS, maxMs: 2 * LATER_MS, factor: 2 },
    },
  }));

const submit = (task: NewTask): Act => ({
  text: `submit ${said({ delayMs: task.delayMs, priority: task.priority, maxAttempts: task.policy?.maxAttempts, key: task.key, serial: task.serial })}`,
  event: 'submit',
  possible: ({ ids }) => ids.length < MOST_TASKS,
  async perform(model, database) {
    const [record] = await database.tasks.insert([task]);
    if (record === undefined) throw new Error('nothing was inserted');
    agree('its id', record.id > (model.ids.at(-1) ?? 0), true);
    model.ids.push(record.id);
    model.lives.push(submitted(task, { id: record.id, partition: record.partitionId }, database.nowMs()));
  },
});

/** Done to a task, whether it is still there or not: the model's answer is the store's. */
function steer<Result extends string>(
  what: string,
  event: Event,
  index: number,
  ask: (database: DatabaseOfTasks, life: Life | undefined, id: number) => Promise<Result>,
  by: (life: Next, nowMs: number) => Answer<Result>,
  how = '',
): Act {
  return {
    text: `${what} task ${index}${how}`,
    event,
    possible: ({ ids }: Readonly<Model>) => index < ids.length,
    async perform(model, database) {
      const life = model.life(index);
      const result = await ask(database, life === 'GONE' ? undefined : life, model.ids[index] ?? 0);
      const answer = by(life, database.nowMs());
      agree(`${what} task ${index}`, result, answer.result);
      model.lives[index] = answer.next;
    },
  };
}

type Version = 'any' | 'the present one' | 'the one before' | 'two, the present one too' | 'none';

function versionsFor(version: Version, life: Life | undefined): string[] | undefined {
  const present = life === undefined ? '0.0' : versionOf(life);
  const before = life === undefined || life.revision === 0 ? '7.7' : `${life.revision - 1}.${life.attempt}`;
  switch (version) {
    case 'any':
      return undefined;
    case 'the present one':
      return [present];
    case 'the one before':
      return [before];
    case 'two, the present one too':
      return [before, present];
    case 'none':
      return [];
  }
}

const patch = (index: number, wanted: Partial<TaskChange> & { in?: number }, version: Version): Act => {
  let versions: string[] | undefined;
  let change: TaskChange;
  return steer(
    'patch',
    'patch',
    index,
    (database, life, id) => {
      const { in: inMs, ...rest } = wanted;
      versions = versionsFor(version, life);
      change = { ...rest, ...(inMs !== undefined && { scheduledAtMs: Math.floor(database.nowMs() + inMs) }) };
      return database.tasks.patch(id, change, versions);
    },
    (life, nowMs) => patched(life, change, versions, nowMs),
    ` with ${said(wanted)}, if of version: ${version}`,
  );
};

const change = fc.oneof(
  fc.record({ in: fc.constantFrom(-LATER_MS, LATER_MS) }),
  fc.record({ delayMs: fc.constantFrom(0, LATER_MS) }),
  fc.record({ payload: fc.constantFrom(null, 'patched', { a: [1] }) }),
  fc.record({ maxAttempts: fc.constantFrom(1, 4) }),
  fc.record({ priority: fc.constantFrom(0, 5) }),
  fc.record({
    payload: fc.constant(2),
    maxAttempts: fc.constant(2),
    priority: fc.constant(2),
    delayMs: fc.constant(0),
  }),
);
const version = fc.constantFrom<Version>(
  ...(['any', 'the present one', 'the one before', 'two, the present one too', 'none'] as const),
);

const said = (fields: object): string =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(' ');

const submits = submission.map((task) => new Command(submit(task)));

const steers = (act: (index: number) => Act) => nthTask.map((index) => new Command(act(index)));
const cancels = steers((i) =>
  steer('cancel', 'cancel', i, ({ tasks }, _, id) => tasks.cancel(id), cancelled),
);
const retries = steers((i) => steer('retry', 'retry', i, ({ tasks }, _, id) => tasks.retry(id), retried));
const runs = steers((i) => steer('run', 'run', i, ({ tasks }, _, id) => tasks.run(id), ranNow));
const removes = steers((i) => steer('remove', 'remove', i, ({ tasks }, _, id) => tasks.remove(id), removed));
const patches = fc
  .tuple(nthTask, change, version)
  .map(([index, wanted, of]) => new Command(patch(index, wanted, of)));

export const userCommands: fc.Arbitrary<Command>[] = [
  // The more of them the sooner there is something to be done to.
  ...[submits, submits, submits, submits],
  ...[patches, patches, cancels, cancels, retries, retries, retries, runs, runs, removes, removes],
];
