import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Clock } from '../../libs/core/clock.ts';
import { createPool } from '../../libs/db/client.ts';
import { postgresExecutionStore } from '../../libs/db/postgres-execution-store.ts';
import { StatementCancelledError } from '../../libs/db/stores.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { systemClock } from '../../libs/runtime/system.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { Workbench } from './testing/worker-under-test.ts';

const PARTITIONS = [0, 1, 2, 3] as const;
const ENDED = 200_000;

let bench: Workbench;
let holder: pg.Client;
let pool: ReturnType<typeof createPool> | undefined;
beforeEach(async () => {
  bench = await Workbench.open(PARTITIONS.length);
  holder = new pg.Client({ connectionString: bench.url });
  await holder.connect();
});
afterEach(async () => {
  await bench.stopWorkers();
  await pool?.end();
  pool = undefined;
  await holder.end();
  await bench.close();
});

/** So many tasks have ended in `partitions`, while somebody holds a transaction from before. */
async function endedBeside(partitions: readonly number[]): Promise<void> {
  await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await holder.query('SELECT count(*) FROM task');
  await bench.query(
    `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
     SELECT (ARRAY[${partitions.join()}])[1 + n % ${partitions.length}], 'ended', '{}', t, t
     FROM (SELECT n, now() - interval '1 hour' + n * interval '1 millisecond' AS t FROM generate_series(1, ${ENDED}) AS n) AS f`,
  );
  await bench.query('DELETE FROM task');
}

/** How long it takes to look through `partitions` from the beginning, when it is fast. */
async function passedMs(partitions: readonly number[]): Promise<number> {
  const all = partitions.map((partition) => ({ partition }));
  const tookMs: number[] = [];
  for (let count = 0; count < 4; count++) {
    const beganAtMs = performance.now();
    await bench.execution.peek(all, 60_000, []);
    tookMs.push(performance.now() - beganAtMs);
  }
  return Math.min(...tookMs);
}

/** The store of a worker whose looks may take so long, and how many were cut off. */
function hurriedStore(lookTimeoutMs: number) {
  pool = createPool({ url: bench.url, applicationName: 'w1', size: 8 });
  pool.on('connect', (client) => void client.query(`SET statement_timeout = ${Math.ceil(lookTimeoutMs)}`));
  const hurried = postgresExecutionStore({ db: pool });
  const cutOff: StatementCancelledError[] = [];
  const store: ExecutionStore = {
    ...bench.execution,
    peek: async (...request) => {
      try {
        return await hurried.peek(...request);
      } catch (error) {
        if (error instanceof StatementCancelledError) cutOff.push(error);
        throw error;
      }
    },
  };
  return { store, cutOff };
}

it('a new owner gets past what has ended and cannot be cleared away, though to pass all of it takes longer than a statement may', async () => {
  await endedBeside(PARTITIONS);
  // Not enough for all of them, nor for three.
  const { store, cutOff } = hurriedStore(0.6 * (await passedMs(PARTITIONS)));
  await bench.startWorker({ id: 'w1', partitions: PARTITIONS, store });
  for (const partition of PARTITIONS) {
    const { id } = await bench.submitTo(partition);
    expect(await bench.ended(id, 20_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  }
  expect(cutOff).not.toEqual([]);
});

it('a partition in which it cannot be passed at all holds up no other, and goes on once it can be cleared away', async () => {
  const [stuck, ...others] = PARTITIONS;
  await endedBeside([stuck]);
  const { store, cutOff } = hurriedStore(0.4 * (await passedMs([stuck])));
  await bench.startWorker({ id: 'w1', partitions: PARTITIONS, store });
  const waits = await bench.submitTo(stuck);
  await eventually('it is tried, at last alone', () => cutOff.length >= 4, { withinMs: 10_000 });
  const tasks = await Promise.all(others.map((partition) => bench.submitTo(partition)));
  for (const { id } of tasks)
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  expect(await bench.tasks.get(waits.id)).toMatchObject({ status: 'PENDING', attempt: 0 });
  await holder.query('ROLLBACK');
  expect(await bench.ended(waits.id, 10_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
});

it('a look that takes longer than what it has read ahead leads to a claim all the same', async () => {
  let slept = 0;
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + slept,
  };
  const store: ExecutionStore = {
    ...bench.execution,
    peek: async (...request) => {
      const answer = await bench.execution.peek(...request);
      slept += 12_000;
      return answer;
    },
  };
  await bench.startWorker({ id: 'w1', partitions: PARTITIONS, store, clock });
  for (const partition of [...PARTITIONS, ...PARTITIONS]) {
    const { id } = await bench.submitTo(partition);
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  }
});

it('a claim that takes longer than a statement may is followed by claims in fewer partitions', async () => {
  const claimed: number[] = [];
  const store: ExecutionStore = {
    ...bench.execution,
    claim: (request) => {
      claimed.push(request.held.length);
      if (request.held.length > 1) return Promise.reject(new StatementCancelledError('canceling statement'));
      return bench.execution.claim(request);
    },
  };
  const tasks = await Promise.all(PARTITIONS.map((partition) => bench.submitTo(partition)));
  await bench.startWorker({ id: 'w1', partitions: PARTITIONS, store });
  for (const { id } of tasks)
    expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  expect(claimed.slice(0, 3)).toEqual([4, 2, 1]);
});

it('a partition in which no claim comes to an end holds up no other', async () => {
  const [stuck, ...others] = PARTITIONS;
  let isStuck = true;
  const store: ExecutionStore = {
    ...bench.execution,
    claim: (request) =>
      isStuck && request.held.some(({ partition }) => partition === stuck)
        ? Promise.reject(new StatementCancelledError('canceling statement'))
        : bench.execution.claim(request),
  };
  const waits = await bench.submitTo(stuck);
  await bench.startWorker({ id: 'w1', partitions: PARTITIONS, store });
  for (const partition of [...others, ...others])
    expect(await bench.ended((await bench.submitTo(partition)).id)).toMatchObject({ status: 'COMPLETED' });
  expect(await bench.tasks.get(waits.id)).toMatchObject({ status: 'PENDING', attempt: 0 });
  isStuck = false;
  expect(await bench.ended(waits.id, 10_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
});
