import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createPool } from '../../libs/db/client.ts';
import { postgresExecutionStore } from '../../libs/db/postgres-execution-store.ts';
import { StoreUnavailableError } from '../../libs/db/stores.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { Workbench } from './testing/worker-under-test.ts';

const PARTITIONS = [0, 1, 2, 3];
const ENDED = 200_000;

let bench: Workbench;
beforeEach(async () => {
  bench = await Workbench.open(PARTITIONS.length);
});
afterEach(() => bench.close());

it('a new owner gets past what has ended and cannot be cleared away, though to pass all of it takes longer than a statement may', async () => {
  const holder = new pg.Client({ connectionString: bench.url });
  await holder.connect();
  let pool: ReturnType<typeof createPool> | undefined;
  try {
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await holder.query('SELECT count(*) FROM task');
    await bench.query(
      `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
       SELECT n % ${PARTITIONS.length}, 'ended', '{}', t, t
       FROM (SELECT n, now() - interval '1 hour' + n * interval '1 millisecond' AS t FROM generate_series(1, ${ENDED}) AS n) AS f`,
    );
    await bench.query('DELETE FROM task');
    const all = PARTITIONS.map((partition) => ({ partition }));
    const beganAtMs = performance.now();
    await bench.execution.peek(all, 60_000, []);
    const tookMs = performance.now() - beganAtMs;

    // Not enough for all of them, nor for three.
    pool = createPool({
      url: bench.url,
      applicationName: 'w1',
      size: 8,
      statementTimeoutMs: Math.ceil(0.6 * tookMs),
    });
    const hurried = postgresExecutionStore({ db: pool });
    let refused = 0;
    const store: ExecutionStore = {
      ...hurried,
      peek: async (...request) => {
        try {
          return await hurried.peek(...request);
        } catch (error) {
          if (error instanceof StoreUnavailableError) refused += 1;
          throw error;
        }
      },
    };
    await bench.startWorker({ id: 'w1', partitions: PARTITIONS, store });
    for (const partition of PARTITIONS) {
      const { id } = await bench.submitTo(partition);
      expect(await bench.ended(id, 20_000)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    expect(refused).toBeGreaterThan(0);
  } finally {
    await bench.stopWorkers();
    await pool?.end();
    await holder.end();
  }
});
