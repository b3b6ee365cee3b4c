import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { Position } from './stores.ts';

describe('positions', () => {
  let database: DatabaseUnderTest;
  let a: WorkerUnderTest;
  let epoch = 0;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    a = await database.worker('a');
    await a.own([0, 1, 2, 3], ++epoch);
  });
  afterEach(() => database.clear());

  const claimAfter = async (after: Position | undefined, limit = 10) => {
    const held = a.held.filter(({ partition }) => partition === 0).map((part) => ({ ...part, after }));
    return (await a.claim(limit, held)).tasks;
  };
  const peekAfter = async (after: Position | undefined, horizonMs = 60_000) =>
    (await a.execution.peek([{ partition: 0, after }], horizonMs, [])).due;

  /** Tasks of partition 0, due at one of these times each. */
  async function due(...times: readonly number[]): Promise<number[]> {
    const ids: number[] = [];
    for (const scheduledAtMs of times) {
      const { id } = await database.submitOne({ scheduledAtMs, partition: 0 });
      // Else it is due when it was submitted.
      await database.pool.query('UPDATE task SET due_at = scheduled_at WHERE id = $1', [id]);
      ids.push(id);
    }
    return ids;
  }

  it('a claim takes nothing up to its position, and ties of due times go by id', async () => {
    const at = Date.now() - 10_000;
    const [early = 0, tied = 0, next = 0, late = 0] = await due(at - 1, at, at, at + 1);
    const position = { dueAtMs: at, id: tied };
    expect((await claimAfter(position)).map(({ id }) => id)).toEqual([next, late]);
    expect((await claimAfter(undefined)).map(({ id }) => id)).toEqual([early, tied]);
  });

  it('a claim continues where the one before has ended: each task once, in order', async () => {
    const at = Date.now() - 10_000;
    const ids = await due(at + 2, at, at + 1, at, at, at + 2, at - 5);
    const seen: number[] = [];
    let position: Position | undefined;
    for (;;) {
      const [task] = await claimAfter(position, 1);
      if (task === undefined) break;
      seen.push(task.id);
      position = { dueAtMs: task.dueAtMs, id: task.id };
    }
    const [g, b, d, e, c, f, h] = [ids[6], ids[1], ids[3], ids[4], ids[2], ids[0], ids[5]];
    expect(seen).toEqual([g, b, d, e, c, f, h]);
  });

  it('a position is of its partition only', async () => {
    const at = Date.now() - 10_000;
    await due(at);
    const elsewhere = await database.submitOne({ scheduledAtMs: at, partition: 1 });
    const after = { dueAtMs: Date.now() + 60_000, id: 1 };
    const held = a.held.map((part) => ({ ...part, after: part.partition === 0 ? after : undefined }));
    expect((await a.claim(10, held)).tasks.map(({ id }) => id)).toEqual([elsewhere.id]);
    const { due: peeked } = await a.execution.peek(held, 60_000, []);
    expect(peeked.map(({ partition }) => partition)).toEqual([]);
  });

  it('a peek tells of nothing up to its position, and ties of due times go by id', async () => {
    const at = Date.now() + 10_000;
    const [tied = 0, next = 0, late = 0] = await due(at, at, at + 1);
    expect(await peekAfter(undefined)).toEqual([{ partition: 0, dueAtMs: at }]);
    expect(await peekAfter({ dueAtMs: at, id: tied })).toEqual([{ partition: 0, dueAtMs: at }]);
    expect(await peekAfter({ dueAtMs: at, id: next })).toEqual([{ partition: 0, dueAtMs: at + 1 }]);
    expect(await peekAfter({ dueAtMs: at + 1, id: late })).toEqual([]);
  });

  it('a peek tells of nothing that runs, whoever runs it, and of what waits behind', async () => {
    const at = Date.now() - 10_000;
    await due(at, at + 1);
    const [first] = await claimAfter(undefined, 1);
    expect(await peekAfter(undefined)).toEqual([{ partition: 0, dueAtMs: at + 1 }]);
    const b = await database.worker('b');
    await b.own([0], ++epoch);
    const peek = async () => (await b.execution.peek([{ partition: 0 }], 0, [])).due;
    expect(await peek()).toEqual([{ partition: 0, dueAtMs: at + 1 }]);
    await a.finish(first === undefined ? [] : [first], { kind: 'HANDED_BACK' });
    expect(await peek()).toEqual([{ partition: 0, dueAtMs: at }]);
  });

  it('whatever waits is due in whole milliseconds, as a position names them', async () => {
    const whole = async () => {
      const { rows } = await database.pool.query<{ whole: boolean }>(
        `SELECT due_at = date_trunc('milliseconds', due_at) AS whole FROM task WHERE status = 'PENDING'`,
      );
      return rows.map((row) => row.whole);
    };
    await database.submit(['submitted', 'again']);
    expect(await whole()).toEqual([true, true]);
    const { tasks } = await a.claim();
    await a.finish(tasks.slice(0, 1), { kind: 'RETRY', delayMs: 60_000.4, error: '' });
    expect(await whole()).toEqual([true, true]);

    const b = await database.worker('b');
    await b.own([0, 1, 2, 3], ++epoch);
    await database.expireLease(a);
    await database.pool.query('UPDATE task SET failures = 1');
    const recovered = await b.execution.recover({ held: b.held, own: [], jitter: 0.123 });
    expect(recovered).toMatchObject([{ id: tasks[1]?.id, became: 'PENDING' }]);
    expect(await whole()).toEqual([true, true]);
  });

  it('a partition with much due does not fill a claim, however old it is, and in time all is claimed', async () => {
    const at = Date.now() - 10_000;
    await due(...Array.from({ length: 30 }, () => at));
    await database.submit(['x', 'y'], { scheduledAtMs: at + 5_000, partition: 2 });
    const first = (await a.claim(10)).tasks.map(({ partition }) => partition);
    expect(first.filter((partition) => partition === 2)).toHaveLength(2);
    let claimed = first.length;
    for (let more = claimed; more > 0; claimed += more) more = (await a.claim(10)).tasks.length;
    expect(claimed).toBe(32);
  });

  describe('peek', () => {
    it('tells the earliest due time of each partition within the horizon, and the database’s time', async () => {
      const soon = Date.now() + 30_000;
      await database.submit(['soon'], { scheduledAtMs: soon, partition: 1 });
      await database.submit(['soon after'], { scheduledAtMs: soon + 5, partition: 1 });
      await database.submit(['far'], { scheduledAtMs: soon + 600_000, partition: 2 });
      await database.submit(['elsewhere'], { partition: 3 });

      const partitions = [0, 1, 2].map((partition) => ({ partition }));
      const { due: peeked, dbNowMs } = await a.execution.peek(partitions, 60_000, []);
      expect(peeked).toEqual([{ partition: 1, dueAtMs: soon }]);
      const { rows } = await database.pool.query<{ ms: string }>('SELECT epoch_ms(now()) AS ms');
      expect(dbNowMs).toBeLessThanOrEqual(Number(rows[0]?.ms));
      expect((await a.execution.peek([], 60_000, [])).due).toEqual([]);
    });
  });
});
