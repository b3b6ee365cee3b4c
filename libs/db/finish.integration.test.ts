import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import type { AttemptEnd, Outcome } from './stores.ts';

const COMPLETED: AttemptEnd = { kind: 'COMPLETED' };

describe('finish', () => {
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
  afterEach(async () => {
    await database.endTransactions();
    await database.pool.query('DELETE FROM task');
  });

  /** A task of `a`'s that runs, and the outcome of that attempt. */
  async function running(end: AttemptEnd = COMPLETED): Promise<Outcome> {
    const { id } = await database.submitOne();
    const { tasks } = await a.claim();
    expect(tasks.map((task) => task.id)).toEqual([id]);
    return { id, attempt: 1, incarnation: a.incarnation, end };
  }

  it('records each kind of end, in the order of the batch', async () => {
    await database.submit(['completed', 'retry', 'failed', 'handed back']);
    const { tasks } = await a.claim();
    const ends: AttemptEnd[] = [
      COMPLETED,
      { kind: 'RETRY', delayMs: 3_600_000, error: 'again' },
      { kind: 'FAILED', error: 'enough' },
      { kind: 'HANDED_BACK' },
    ];
    const outcomes = tasks.map(({ id, attempt, incarnation }, index) => ({
      id,
      attempt,
      incarnation,
      end: ends[index] ?? COMPLETED,
    }));
    const stranger = { id: 1_000_000, attempt: 1, incarnation: 'x', end: COMPLETED };
    const foreign = { ...(outcomes[0] ?? stranger), incarnation: 'another' };
    expect(await a.execution.finish([foreign, ...outcomes.toReversed()])).toEqual([
      'refused',
      ...outcomes.map(() => 'recorded'),
    ]);

    const records = await Promise.all(outcomes.map(({ id }) => database.tasks.get(id)));
    expect(records).toMatchObject([
      { status: 'COMPLETED', failures: 0, lastError: null },
      { status: 'PENDING', failures: 1, lastError: 'again', completedAtMs: null },
      { status: 'FAILED', failures: 1, lastError: 'enough' },
      { status: 'PENDING', failures: 0, lastError: null, completedAtMs: null },
    ]);
    expect(records[0]?.completedAtMs).toBeGreaterThanOrEqual(records[0]?.startedAtMs ?? Infinity);
    // What was handed back is due at once; the retry is not.
    expect((await a.claim()).tasks).toMatchObject([{ name: 'handed back', attempt: 2, failures: 0 }]);
  });

  it('keeps a retry from its scheduled time, should the clock have been set back meanwhile', async () => {
    const first = await running({ kind: 'RETRY', delayMs: 0, error: 'first' });
    await database.pool.query(`UPDATE task SET scheduled_at = now() + interval '1 hour'`);
    await a.execution.finish([first]);
    expect((await a.claim()).tasks).toEqual([]);
  });

  it('counts failures over attempts, and the next attempt is another', async () => {
    const first = await running({ kind: 'RETRY', delayMs: 0, error: 'first' });
    await a.execution.finish([first]);
    expect((await a.claim()).tasks).toMatchObject([{ id: first.id, attempt: 2, failures: 1 }]);
    const second: Outcome = { ...first, attempt: 2, end: { kind: 'FAILED', error: 'second' } };
    // The outcome of the attempt before is foreign by now.
    expect(await a.execution.finish([first, second])).toEqual(['refused', 'recorded']);
    expect(await database.tasks.get(first.id)).toMatchObject({
      status: 'FAILED',
      attempt: 2,
      failures: 2,
      lastError: 'second',
    });
  });

  it.each<AttemptEnd>([
    COMPLETED,
    { kind: 'RETRY', delayMs: 60_000, error: 'again' },
    { kind: 'FAILED', error: 'enough' },
    { kind: 'HANDED_BACK' },
  ])('its reply lost, repeated is recorded and changes nothing: $kind', async (end) => {
    const outcome = await running(end);
    expect(await a.execution.finish([outcome])).toEqual(['recorded']);
    const before = await database.row(outcome.id);
    expect(await a.execution.finish([outcome])).toEqual(['recorded']);
    expect(await database.row(outcome.id)).toEqual(before);
  });

  it('repeated while the first is still under way, waits for it and is recorded', async () => {
    const outcome = await running({ kind: 'RETRY', delayMs: 60_000, error: 'once' });
    const open = await database.begin(a);
    expect(await open.worker.execution.finish([outcome])).toEqual(['recorded']);
    const again = a.execution.finish([outcome]);
    await database.blocked(a);
    await open.commit();
    expect(await again).toEqual(['recorded']);
    expect(await database.tasks.get(outcome.id)).toMatchObject({ failures: 1 });
  });

  it('counts after the partition has moved: it is fenced by the attempt, not by ownership', async () => {
    const outcome = await running();
    const b = await database.worker('b');
    await b.own([0, 1, 2, 3], ++epoch);
    expect(await a.execution.finish([outcome])).toEqual(['recorded']);
  });

  it('wakes the owner of what waits again and is due soon, and of nothing else', async () => {
    const outcomes = [await running({ kind: 'HANDED_BACK' })];
    const { partitionId } = (await database.tasks.get(outcomes[0]?.id ?? 0)) ?? {};
    const listener = await database.begin(a);
    const heard: (string | undefined)[] = [];
    listener.client.on('notification', ({ payload }) => heard.push(payload));
    await listener.client.query('LISTEN task_due');
    await listener.commit();

    await a.execution.finish(outcomes);
    const [again] = (await a.claim()).tasks;
    await a.execution.finish([
      { ...(again ?? a.held[0]), end: { kind: 'RETRY', delayMs: 60_000, error: '' } } as Outcome,
    ]);
    await listener.client.query('SELECT 1');
    expect(heard).toEqual([String(partitionId)]);
  });

  it('cuts and cleans the text of an error so that the column takes it', async () => {
    const outcome = await running({ kind: 'FAILED', error: `a\0b${'x'.repeat(10_000)}` });
    expect(await a.execution.finish([outcome])).toEqual(['recorded']);
    expect((await database.tasks.get(outcome.id))?.lastError).toMatch(/^a\uFFFDbx{1997}$/);
  });

  describe('when removal was requested', () => {
    it.each<AttemptEnd>([COMPLETED, { kind: 'RETRY', delayMs: 0, error: 'again' }, { kind: 'HANDED_BACK' }])(
      'the record goes, however the attempt ended: $kind',
      async (end) => {
        const outcome = await running(end);
        expect(await database.tasks.remove(outcome.id)).toBe('cancelling');
        expect(await database.tasks.remove(outcome.id)).toBe('cancelling');
        expect(await a.execution.running([a.incarnation])).toMatchObject([{ cancelRequested: true }]);

        expect(await a.execution.finish([outcome])).toEqual(['recorded']);
        expect(await database.tasks.get(outcome.id)).toBeNull();
        // The reply lost, the same again.
        expect(await a.execution.finish([outcome])).toEqual(['recorded']);
      },
    );

    it('and the request is not yet committed, the outcome waits for it, and the record goes', async () => {
      const outcome = await running({ kind: 'RETRY', delayMs: 0, error: 'again' });
      const request = await database.begin(a);
      await request.client.query('UPDATE task SET cancel_requested_at = now() WHERE id = $1', [outcome.id]);
      const finished = a.execution.finish([outcome]);
      await database.blocked(a);
      await request.commit();
      expect(await finished).toEqual(['recorded']);
      expect(await database.tasks.get(outcome.id)).toBeNull();
    });
  });
});
