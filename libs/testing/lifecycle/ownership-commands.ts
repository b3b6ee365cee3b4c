/** What becomes of workers' leases and partitions, and of the database's clock. */
import fc from 'fast-check';
import { agree, Command } from './command.ts';
import type { Act } from './command.ts';
import { LEASE_MS, PARTITIONS, WORKERS } from './model.ts';
import type { DatabaseOfTasks, Model, WorkerModel } from './model.ts';

const HOUR_MS = 3_600_000;
/** Sessions that are over for an hour are cleared away, which the model leaves out. */
const MOST_STEPPED_MS = 1_500_000;

/** A process comes, or comes back in a new session: another incarnation, which owns nothing yet. */
export const join = (id: string): Act => ({
  text: `${id} joins${id === 'heir' ? '' : ' anew'}`,
  event: 'other',
  async perform(model, database) {
    const worker = model.worker(id);
    worker.incarnations.push(`${id}.${worker.incarnations.length + 1}`);
    worker.held = [];
    await renewAll(model, database, worker);
  },
});

const renew = (id: string): Act => ({
  text: `${id} renews its leases`,
  event: 'other',
  perform: (model, database) => renewAll(model, database, model.worker(id)),
});

async function renewAll(model: Model, database: DatabaseOfTasks, worker: WorkerModel): Promise<void> {
  await database.worker(worker.id).ownership.renew(worker.id, worker.incarnations, LEASE_MS);
  model.renewed(worker, database.nowMs());
}

/** It has been there for long: it may recover what others leave behind. */
export const settle = (id: string): Act => ({
  text: `${id} has been there for an hour`,
  event: 'other',
  async perform(model, database) {
    for (const incarnation of model.worker(id).incarnations) {
      await database.ageLease(incarnation);
      const lease = model.leases.get(incarnation);
      if (lease !== undefined) lease.unbrokenSinceMs = database.nowMs() - HOUR_MS;
    }
  },
});

/** Whether it has crashed or only stands still: what it has in hand it may still report. */
export const endLeases = (id: string): Act => ({
  text: `the leases of ${id} end`,
  event: 'other',
  async perform(model, database) {
    for (const incarnation of model.worker(id).incarnations) {
      await database.endLease(incarnation);
      const lease = model.leases.get(incarnation);
      if (lease !== undefined) lease.expiresAtMs = database.nowMs() - 1_000;
    }
  },
});

/** @param granted under the next epoch, as by a controller, or the one that stands, as by a request that comes twice */
export const acquire = (id: string, partition: number, granted: 'next' | 'same'): Act => ({
  text: `${id} acquires partition ${partition} under the ${granted} epoch`,
  event: 'other',
  async perform(model, database) {
    const worker = model.worker(id);
    const incarnation = worker.incarnations.at(-1) ?? '';
    const epoch = (model.owners[partition]?.epoch ?? 0) + (granted === 'next' ? 1 : 0);
    const { owned } = await database.worker(id).ownership.acquire({
      ...{ workerId: id, incarnation, grants: [{ partition, epoch }], lockTimeoutMs: 10_000 },
    });
    agree(
      'what it acquired',
      owned,
      model.acquired(incarnation, partition, epoch) ? [{ partition, epoch }] : [],
    );
    worker.held = worker.held.filter((part) => part.partition !== partition);
    if (owned.length > 0) worker.held.push({ partition, epoch, incarnation });
  },
});

const release = (id: string): Act => ({
  text: `${id} releases its partitions`,
  event: 'other',
  async perform(model, database) {
    const worker = model.worker(id);
    await database.worker(id).ownership.release(worker.incarnations.at(-1) ?? '', worker.held);
    model.released(worker);
    worker.held = [];
  },
});

const stepClock = (ms: number): Act => ({
  text: `the database's clock is set ${ms < 0 ? 'back' : 'forward'} by ${Math.abs(ms) / 1_000} s`,
  event: 'other',
  possible: ({ steppedMs }) => Math.abs(steppedMs + ms) <= MOST_STEPPED_MS,
  perform(model, { time }) {
    model.steppedMs += ms;
    time?.step(ms);
    return Promise.resolve();
  },
});

/** As long as a lease, in which some renew theirs and others do not. */
const pass = (renewing: readonly string[]): Act => ({
  text: `a minute passes, in which ${renewing.join(' and ') || 'nobody'} renews its leases`,
  event: 'other',
  possible: ({ steppedMs }) => steppedMs + LEASE_MS <= MOST_STEPPED_MS,
  async perform(model, database) {
    for (let part = 0; part < 4; part++) {
      await database.time?.pass(LEASE_MS / 4);
      for (const id of renewing) await renewAll(model, database, model.worker(id));
    }
    model.steppedMs += LEASE_MS;
  },
});

/** The first owns everything in the beginning. */
export const someWorker = fc.constantFrom(...([WORKERS[0], ...WORKERS] as const));
const of = (act: (id: string) => Act) => someWorker.map((id) => new Command(act(id)));
const acquires = fc
  .tuple(someWorker, fc.nat({ max: PARTITIONS - 1 }), fc.constantFrom(...(['next', 'next', 'same'] as const)))
  .map(([id, partition, granted]) => new Command(acquire(id, partition, granted)));

export const ownershipCommands: fc.Arbitrary<Command>[] = [
  ...[of(join), of(renew), of(settle), of(endLeases), of(endLeases), of(release)],
  // Mostly somebody owns them.
  ...Array<typeof acquires>(6).fill(acquires),
];

/** Where the clock can be moved. */
export const timeCommands: fc.Arbitrary<Command>[] = [
  fc.constantFrom(-700_000, -20_000, 20_000, 90_000, 700_000).map((ms) => new Command(stepClock(ms))),
  fc.subarray([...WORKERS]).map((renewing) => new Command(pass(renewing))),
];
