/** Tasks of one key that run one at a time, in order of their scheduled times. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { OpenTransaction, WorkerUnderTest } from '../testing/database-under-test.ts';
import type { AttemptEnd, ClaimedTask } from './stores.ts';

/** In partition 0 of 4. */
const KEY = 'line';
const ANOTHER_KEY = 'line-1';
const FAILED: AttemptEnd = { kind: 'FAILED', error: 'enough' };
const HOUR_MS = 3_600_000;

describe('the serial tasks of a key', () => {
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

  /** So many seconds ago, or from now. */
  const at = (seconds: number) => Date.now() + seconds * 1_000;
  /** Submits serial tasks, each called so and scheduled then; `key: null` is said of none. */
  async function submit(tasks: Readonly<Record<string, number>>, key = KEY): Promise<Record<string, number>> {
    const stored = await database.tasks.insert(
      Object.entries(tasks).map(([name, seconds]) => ({
        ...{ name, key, serial: true, payload: null, scheduledAtMs: at(seconds) },
      })),
    );
    return Object.fromEntries(Object.keys(tasks).map((name, index) => [name, stored[index]?.id ?? 0]));
  }
  const namesOf = (tasks: readonly ClaimedTask[]) => tasks.map(({ name }) => name);
  const claim = async (worker = a) => (await worker.claim()).tasks;
  /** Claims, ends what was claimed, and so on; what came one after the other. */
  async function drain(worker = a): Promise<string[][]> {
    const drained: string[][] = [];
    for (let tasks = await claim(worker); tasks.length > 0; tasks = await claim(worker)) {
      drained.push(namesOf(tasks));
      await worker.finish(tasks);
    }
    return drained;
  }
  const statusOf = async (id: number | undefined) => (await database.tasks.get(id ?? 0))?.status;
  /** An API in a transaction that the test ends when it likes. */
  const openApi = async () => database.begin(await database.worker('api'));

  describe('in order', () => {
    it('run one at a time, by scheduled time and then id, however they came', async () => {
      await submit({ third: -10, first: -30, last: -5 });
      await submit({ second: -20 });
      const scheduledAtMs = at(-5);
      await database.submit(['same', 'time'], { key: ANOTHER_KEY, serial: true, scheduledAtMs });
      expect(await drain()).toEqual([['first', 'same'], ['second', 'time'], ['third'], ['last']]);
    });

    it('wait for each other and for nobody else', async () => {
      await submit({ head: -30, behind: -20 });
      await submit({ 'of another key': -25 }, ANOTHER_KEY);
      await database.submitOne({ name: 'of none', scheduledAtMs: at(-10) });
      await database.submitOne({ name: 'not serial', key: KEY, scheduledAtMs: at(-5) });
      const first = await claim();
      expect(namesOf(first).sort()).toEqual(['head', 'not serial', 'of another key', 'of none']);
      expect(first.map(({ serial }) => serial)).toEqual([true, true, false, false]);
      expect(await claim()).toEqual([]);
      await a.finish(
        first.filter(({ name }) => name !== 'head'),
        undefined,
        [],
      );
      expect(await claim()).toEqual([]);
      await a.finish(
        first.filter(({ name }) => name === 'head'),
        undefined,
        first,
      );
      expect(namesOf(await claim())).toEqual(['behind']);
    });

    it('are submitted in one statement with others, of many keys', async () => {
      const task = { payload: null, scheduledAtMs: at(-1) };
      const records = await database.tasks.insert([
        { ...task, name: 'k1', key: 'k', serial: true },
        { ...task, name: 'plain', key: null },
        { ...task, name: 'l1', key: 'l', serial: true },
        { ...task, name: 'k2', key: 'k', serial: true },
        { ...task, name: 'l2', key: 'l', serial: true },
      ]);
      const stored = await Promise.all(records.map(({ id }) => database.tasks.get(id)));
      expect(stored.map((task) => [task?.name, task?.key, task?.serial])).toEqual([
        ['k1', 'k', true],
        ['plain', null, false],
        ['l1', 'l', true],
        ['k2', 'k', true],
        ['l2', 'l', true],
      ]);
      const drained = await drain();
      expect(drained.map((names) => names.toSorted())).toEqual([
        ['k1', 'l1', 'plain'],
        ['k2', 'l2'],
      ]);
    });

    it('need a key', async () => {
      await expect(database.submitOne({ serial: true })).rejects.toThrow('task_serial_check');
    });

    it('have priorities among the others, not among themselves', async () => {
      await submit({ head: -20 });
      await database.submitOne({
        name: 'urgent',
        key: KEY,
        serial: true,
        priority: 9,
        scheduledAtMs: at(-10),
      });
      await database.submitOne({ name: 'usual', scheduledAtMs: at(-30) });
      const [held] = a.held;
      expect(held?.partition).toBe(0);
      await a.finish(await claim());
      expect(namesOf(await claim())).toEqual(['urgent']);
    });

    it('wait until they are due, with those behind them', async () => {
      await submit({ later: HOUR_MS / 1_000, latest: 2 * HOUR_MS });
      expect(await claim()).toEqual([]);
      const { due } = await a.execution.peek(a.held, 5 * HOUR_MS, []);
      expect(due).toHaveLength(1);
    });
  });

  describe('when one comes', () => {
    it('that is scheduled before the head, which waits: it goes first', async () => {
      await submit({ head: -10, behind: -5 });
      await submit({ earlier: -20 });
      expect(await drain()).toEqual([['earlier'], ['head'], ['behind']]);
    });

    it('that is scheduled before the head, which runs: it is next', async () => {
      await submit({ head: -10, behind: -5 });
      const running = await claim();
      await submit({ earlier: -20 });
      expect(await claim()).toEqual([]);
      await a.finish(running);
      expect(await drain()).toEqual([['earlier'], ['behind']]);
    });

    it('that is scheduled before a head which is not yet due', async () => {
      await submit({ head: 3_600 });
      await submit({ now: 0 });
      expect(await drain()).toEqual([['now']]);
    });
  });

  describe('after an attempt that did not complete', () => {
    it.each<[string, AttemptEnd]>([
      ['it is to be retried', { kind: 'RETRY', delayMs: HOUR_MS, error: 'again' }],
      ['it was handed back', { kind: 'HANDED_BACK', delayMs: HOUR_MS }],
    ])('wait for it, where %s', async (_, end) => {
      const { head } = await submit({ head: -10, behind: -5 });
      await a.finish(await claim(), end);
      expect(await claim()).toEqual([]);
      expect(await database.tasks.run(head ?? 0)).toBe('due');
      expect(await drain()).toEqual([['head'], ['behind']]);
    });

    it('do not wait for it where it has failed for good', async () => {
      await submit({ head: -10, behind: -5 });
      await a.finish(await claim(), FAILED);
      expect(await drain()).toEqual([['behind']]);
    });

    it('wait for one of an earlier time first, which has come meanwhile', async () => {
      await submit({ head: -10, behind: -5 });
      const running = await claim();
      await submit({ earlier: -20 });
      await a.finish(running, { kind: 'RETRY', delayMs: 0, error: 'again' });
      expect(await drain()).toEqual([['earlier'], ['head'], ['behind']]);
    });
  });

  describe('steered by users', () => {
    it.each(['remove', 'cancel'] as const)(
      '%s: at the head, the next goes; in the middle, nothing changes',
      async (what) => {
        const { head, middle } = await submit({ head: -30, middle: -20, last: -10 });
        await database.tasks[what](middle ?? 0);
        expect(namesOf(await claim())).toEqual(['head']);
        await database.clear();

        const again = await submit({ head: -30, middle: -20, last: -10 });
        await database.tasks[what](again['head'] ?? 0);
        expect(await drain()).toEqual([['middle'], ['last']]);
        expect(head).not.toBe(again['head']);
      },
    );

    it.each(['remove', 'cancel'] as const)(
      '%s of the head while it runs: the next goes when it has ended',
      async (what) => {
        const { head } = await submit({ head: -30, next: -20 });
        const running = await claim();
        expect(await database.tasks[what](head ?? 0)).toBe('cancelling');
        expect(await claim()).toEqual([]);
        await a.finish(running, { kind: 'HANDED_BACK' });
        expect(await statusOf(head)).toBe(what === 'cancel' ? 'CANCELLED' : undefined);
        expect(await drain()).toEqual([['next']]);
      },
    );

    it('a head that is put off yields to the next, and one behind that is moved forward goes first', async () => {
      const { head, last } = await submit({ head: -30, middle: -20, last: -10 });
      expect(await database.tasks.patch(head ?? 0, { scheduledAtMs: at(-15) })).toBe('patched');
      expect(await database.tasks.patch(last ?? 0, { scheduledAtMs: at(-40) })).toBe('patched');
      expect(await drain()).toEqual([['last'], ['middle'], ['head']]);
    });

    it('what is changed otherwise keeps its place', async () => {
      const { head } = await submit({ head: -30, next: -20 });
      expect(await database.tasks.patch(head ?? 0, { payload: 1, priority: 3, maxAttempts: 1 })).toBe(
        'patched',
      );
      expect(await drain()).toEqual([['head'], ['next']]);
    });

    it('one that is run now goes before what is scheduled later, and waits for what comes before it or runs', async () => {
      const { last } = await submit({ running: -30, waiting: -20, later: 3_600, last: 7_200 });
      const running = await claim();
      expect(await database.tasks.run(last ?? 0)).toBe('due');
      expect(await claim()).toEqual([]);
      await a.finish(running);
      expect(await drain()).toEqual([['waiting'], ['last']]);
    });

    it('one that is retried takes its place again, but not from one that runs', async () => {
      const { head, next } = await submit({ head: -30, next: -20, last: -10 });
      await a.finish(await claim(), FAILED);
      const running = await claim();
      expect(namesOf(running)).toEqual(['next']);
      expect(await database.tasks.retry(head ?? 0)).toBe('retried');
      expect(await claim()).toEqual([]);
      await a.finish(running, FAILED);
      await database.tasks.retry(next ?? 0);
      expect(await drain()).toEqual([['head'], ['next'], ['last']]);
    });
  });

  describe('when a partition moves', () => {
    it('wait for what its former owner runs', async () => {
      await submit({ head: -30, next: -20 });
      const running = await claim();
      const b = await database.worker('b');
      await b.own([0, 1, 2, 3], ++epoch);
      expect(await claim(b)).toEqual([]);
      expect(await a.finish(running)).toEqual(['recorded']);
      expect(await drain(b)).toEqual([['next']]);
    });

    it('keep their order when their worker is lost', async () => {
      await submit({ head: -30, next: -20 });
      const running = await claim();
      const b = await database.worker('b');
      await b.own([0, 1, 2, 3], ++epoch);
      await database.expireLease(a);
      await submit({ earlier: -40 });
      const recovered = await b.execution.recover({ held: b.held, own: [], jitter: 0 });
      expect(recovered).toMatchObject([{ attempt: 1, became: 'PENDING' }]);
      expect(await a.finish(running)).toEqual(['refused']);
      expect(await drain(b)).toEqual([['earlier'], ['head'], ['next']]);
    });

    it.each([
      ['has no attempt left', false],
      ['was to be removed', true],
    ])('go on with the next when their worker is lost with one that %s', async (_, removed) => {
      const policy = { maxAttempts: 1 };
      const { id } = await database.submitOne({
        name: 'head',
        key: KEY,
        serial: true,
        policy,
        scheduledAtMs: at(-30),
      });
      await submit({ next: -20 });
      await claim();
      if (removed) await database.tasks.remove(id);
      const b = await database.worker('b');
      await b.own([0, 1, 2, 3], ++epoch);
      await database.expireLease(a);
      await b.execution.recover({ held: b.held, own: [], jitter: 0 });
      expect(await statusOf(id)).toBe(removed ? undefined : 'FAILED');
      expect(await drain(b)).toEqual([['next']]);
    });
  });

  describe('find their way to a worker', () => {
    it('that claims from where it has got to: whose turn has come is due then', async () => {
      await submit({ head: -30, next: -20 });
      await database.submitOne({ name: 'other', partition: 0, scheduledAtMs: at(-1) });
      const running = await claim();
      expect(namesOf(running)).toEqual(['head', 'other']);
      await a.finish(running);
      const { dueAtMs = 0, id = 0 } = running.at(-1) ?? {};
      const beyond = a.held.map((held) => ({ ...held, after: { dueAtMs, id } }));
      expect((await a.claim(10, beyond)).tasks).toMatchObject([
        { name: 'next', scheduledAtMs: expect.closeTo(at(-20), -4) as number },
      ]);
    });

    it('that is told of each turn, and of nobody whose turn it is not', async () => {
      const listener = new pg.Client({ connectionString: database.url });
      await listener.connect();
      const heard: string[] = [];
      listener.on('notification', ({ payload = '' }) => heard.push(payload.replace(/^\d+:/, '')));
      await listener.query('LISTEN task_due');
      const hear = async () => {
        await listener.query('SELECT 1');
        return heard.splice(0);
      };
      await submit({ head: -30, next: -20 });
      expect(await hear()).toEqual(['0']);
      await submit({ last: -10 });
      expect(await hear()).toEqual([]);
      await a.finish(await claim());
      expect(await hear()).toEqual(['0']);
      await a.finish(await claim());
      await a.finish(await claim());
      expect(await hear()).toEqual(['0']);
      await listener.end();
    });
  });

  describe('beside what others do at the same time:', () => {
    let open: OpenTransaction;

    it('a claim waits for an earlier one that comes, and takes it', async () => {
      await submit({ head: -10 });
      open = await openApi();
      await open.tasks.insert([
        { name: 'earlier', key: KEY, serial: true, payload: null, scheduledAtMs: at(-20) },
      ]);
      const claimed = claim();
      await database.blocked(a);
      await open.commit();
      expect(namesOf(await claimed)).toEqual(['earlier']);
    });

    it('an earlier one that comes waits for a claim, and for the task it has taken', async () => {
      await submit({ head: -10 });
      open = await database.begin(a);
      const { tasks } = await open.worker.claim();
      const submitted = submit({ earlier: -20 });
      await database.blocked({ applicationName: 'test' });
      await open.commit();
      await submitted;
      expect(await claim()).toEqual([]);
      await a.finish(tasks);
      expect(await drain()).toEqual([['earlier']]);
    });

    it('two that come to an empty line: one of them is its head', async () => {
      open = await openApi();
      await open.tasks.insert([
        { name: 'second', key: KEY, serial: true, payload: null, scheduledAtMs: at(-10) },
      ]);
      const first = submit({ first: -20 });
      await database.blocked({ applicationName: 'test' });
      await open.commit();
      await first;
      expect(await drain()).toEqual([['first'], ['second']]);
    });

    it('one that comes while the last ends, in either order', async () => {
      await submit({ last: -20 });
      const [first] = await claim();
      open = await database.begin(a);
      await open.worker.finish([first as ClaimedTask]);
      const submitted = submit({ next: -10 });
      await database.blocked({ applicationName: 'test' });
      await open.commit();
      await submitted;
      const [second] = await claim();
      expect(second).toMatchObject({ name: 'next' });

      open = await openApi();
      await open.tasks.insert([
        { name: 'more', key: KEY, serial: true, payload: null, scheduledAtMs: at(-5) },
      ]);
      const finished = a.finish([second as ClaimedTask]);
      await database.blocked(a);
      await open.commit();
      expect(await finished).toEqual(['recorded']);
      expect(await drain()).toEqual([['more']]);
    });

    it('a submission that is undone leaves the line as it was', async () => {
      await submit({ head: -10 });
      open = await openApi();
      await open.tasks.insert([
        { name: 'earlier', key: KEY, serial: true, payload: null, scheduledAtMs: at(-20) },
      ]);
      const claimed = claim();
      await database.blocked(a);
      await open.rollback();
      expect(namesOf(await claimed)).toEqual(['head']);
    });

    it('an outcome of one of them waits for claims, as its partition’s row is taken first; others’ do not', async () => {
      await submit({ head: -10 });
      await database.submitOne({ name: 'other', partition: 0, scheduledAtMs: at(-20) });
      const [head, other] = await claim();
      expect([head?.name, other?.name]).toEqual(['head', 'other']);
      open = await database.begin(a);
      await open.worker.claim();
      expect(await a.finish([other as ClaimedTask], undefined, [])).toEqual(['recorded']);
      const finished = a.finish([head as ClaimedTask]);
      await database.blocked(a);
      // Nothing of it is locked yet.
      const { rowCount } = await database.pool.query(
        `SELECT FROM task t, claim_record c WHERE t.id = $1 FOR UPDATE SKIP LOCKED`,
        [head?.id],
      );
      expect(rowCount).toBe(1);
      await open.rollback();
      expect(await finished).toEqual(['recorded']);
    });
  });
});
