import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { StatementCancelledError } from '../../libs/db/stores.ts';
import type { ExecutionStore } from '../../libs/db/stores.ts';
import { deferred } from '../../libs/testing/deferred.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { Workbench } from './testing/worker-under-test.ts';

let bench: Workbench;
beforeEach(async () => {
  bench = await Workbench.open(4);
});
afterEach(() => bench.close());

it('a look through everything that takes as long as a statement may holds up no claim, and is not repeated at once', async () => {
  let tooMuch = false;
  let tried = 0;
  const timeout = deferred<never>();
  const store: ExecutionStore = {
    ...bench.execution,
    peek: (partitions, horizonMs, own) => {
      if (!tooMuch || partitions.some(({ after }) => after !== undefined))
        return bench.execution.peek(partitions, horizonMs, own);
      tried += 1;
      return timeout.promise;
    },
  };
  const { worker } = await bench.startWorker({ id: 'w1', partitions: [0, 1, 2, 3], store });
  const runOneInEach = async () => {
    for (const partition of [0, 1, 2, 3]) {
      const { id } = await bench.submitTo(partition);
      expect(await bench.ended(id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
  };
  // So that there is a position in each partition.
  await runOneInEach();
  tooMuch = true;
  worker.expectWork('*', -Infinity);
  await eventually('it is tried', () => tried > 0, { withinMs: 3_000 });
  await runOneInEach();
  timeout.resolve(
    Promise.reject(new StatementCancelledError('canceling statement due to statement timeout')),
  );
  await runOneInEach();
  // At all of them, at half, and at each alone.
  expect(tried).toBe(1 + 1 + 4);
});

it('what is committed late, behind what was claimed since, is found though nobody says so', async () => {
  // Nobody listens to notifications here.
  await bench.startWorker({ id: 'w1', partitions: [0, 1, 2, 3] });
  const application = new pg.Client({ connectionString: bench.url });
  await application.connect();
  try {
    await application.query('BEGIN');
    const { rows } = await application.query<{ id: string }>(
      `SELECT scheduler.submit_task('late', key => $1) AS id`,
      [bench.keyOf(0)],
    );
    const late = Number(rows[0]?.id);
    const since = await bench.submitTo(0);
    await bench.ended(since.id);
    await application.query('COMMIT');
    const found = await bench.ended(late);
    expect(found).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(found.scheduledAtMs).toBeLessThan(since.scheduledAtMs);
  } finally {
    await application.end();
  }
});
