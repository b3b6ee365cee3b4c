import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Json } from '../core/task.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { WorkerUnderTest } from '../testing/database-under-test.ts';
import { loadFunctions } from './migrate.ts';
import type { ClaimedTask } from './stores.ts';

/** JSON of this many bytes. */
const text = (bytes: number) => 'x'.repeat(bytes - 2);

/** Neither compressed nor cut short. */
const noise = (bytes: number) =>
  Array.from({ length: bytes - 2 }, () => String.fromCharCode(97 + Math.random() * 26)).join('');

describe('the reply of a claim', () => {
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

  describe('of a payload', () => {
    it.each<[string, Json]>([
      ['an object', { deep: [1, 'two', null, { three: true }], 'with "quotes"\\': '\n界' }],
      ['null', null],
      ['a text', 'null'],
      ['a number', 1e21],
      ['as long as it may be', noise(4_096)],
    ])('brings it along where it is short: %s', async (_, payload) => {
      await database.submitOne({ payload });
      const [task] = (await a.claim()).tasks;
      expect(task?.payload).toBeDefined();
      expect(task?.payload).toEqual(payload);
    });

    it.each<[string, Json]>([
      ['one byte too long', noise(4_097)],
      ['too long to be compressed', noise(60_000)],
      ['stored compressed', text(4_000)],
      ['short as it is stored, and long as a text', Array.from({ length: 20_000 }, () => 0)],
      ['few characters, and many bytes', '界'.repeat(1_400)],
    ])('leaves it to be read apart where it is long: %s', async (_, payload) => {
      const { id } = await database.submitOne({ payload });
      const { tasks } = await a.claim();
      expect(tasks).toMatchObject([{ id }]);
      expect(tasks[0]?.payload).toBeUndefined();
      expect(tasks[0]?.payloadIsShort).toBe(false);
      expect(await a.execution.payloads(tasks)).toEqual(new Map([[id, payload]]));
    });

    it('takes what has not come for long where the function of the build before does not tell', async () => {
      const [claim] = loadFunctions().filter(({ name }) => name === 'claim_tasks');
      const before = (claim?.sql ?? '')
        .replace("THEN '0'", "THEN 'null'")
        .replace(", 'long', short IS NULL", '');
      expect(before).toHaveLength((claim?.sql ?? '').length - 20);
      await database.pool.query(before);
      try {
        await database.submit(['x', 'y'], { payload: noise(5_000) });
        await database.submitOne({ payload: null });
        const { tasks } = await a.claim();
        expect(tasks.map(({ payload, payloadIsShort }) => [payload, payloadIsShort])).toEqual([
          [undefined, false],
          [undefined, false],
          [null, false],
        ]);
        expect((await a.execution.payloads(tasks)).size).toBe(3);
      } finally {
        await database.pool.query(claim?.sql ?? '');
      }
    });

    it('read apart, shows it only while the attempt is still the reader’s', async () => {
      const payload = { text: text(5_000) };
      const { id } = await database.submitOne({ payload });
      const { tasks } = await a.claim();
      const read = (change: Partial<ClaimedTask>) =>
        a.execution.payloads(tasks.map((attempt) => ({ ...attempt, ...change })));
      expect(await read({})).toEqual(new Map([[id, payload]]));
      expect(await read({ attempt: 0 })).toEqual(new Map());
      expect(await read({ attempt: 2 })).toEqual(new Map());
      expect(await read({ incarnation: 'another' })).toEqual(new Map());
      expect(await read({ record: 0 })).toEqual(new Map());

      const b = await database.worker('b');
      await b.own([0, 1, 2, 3], ++epoch);
      await database.expireLease(a);
      await b.execution.recover({ held: b.held, own: [], jitter: 0 });
      expect(await read({})).toEqual(new Map());
      const again = (await b.claim()).tasks;
      expect(await b.execution.payloads(again)).toEqual(new Map([[id, payload]]));
      expect(await read({})).toEqual(new Map());
    });

    it('shows it no longer once the attempt has ended', async () => {
      await database.submit(['x', 'y'], { payload: text(5_000), partition: 0 });
      const { tasks } = await a.claim();
      await a.finish(tasks.slice(0, 1), { kind: 'COMPLETED' }, []);
      expect([...(await a.execution.payloads(tasks)).keys()]).toEqual([tasks[1]?.id]);
    });
  });

  describe('of very much', () => {
    /** Claims until there is nothing left; every reply short enough to leave no backend hanging. */
    async function claimAll(limit: number): Promise<ClaimedTask[][]> {
      const claims: ClaimedTask[][] = [];
      for (;;) {
        const client = await database.begin(a);
        const { rows } = await client.client.query<{ tasks: string }>(
          'SELECT tasks FROM claim_tasks($1, $2, $3, $4, $4, $4, gen_random_uuid(), $5, $6, $7, $8)',
          [
            ...[a.held.map((held) => held.partition), a.held.map((held) => held.epoch)],
            ...[a.held.map((held) => held.incarnation), a.held.map(() => null)],
            ...['a', limit, [], false],
          ],
        );
        await client.rollback();
        expect(Buffer.byteLength(rows[0]?.tasks ?? '')).toBeLessThanOrEqual(64 * 1_024);
        const { tasks } = await a.claim(limit);
        if (tasks.length === 0) return claims;
        claims.push(tasks);
      }
    }

    it('brings the payloads along where all are within 64 KB, or else none of them: they are short all the same', async () => {
      const records = await database.submit(
        Array.from({ length: 500 }, (_, index) => `n${index}`),
        { payload: { text: text(190) } },
      );
      const [all = []] = await claimAll(1_000);
      // In the order in which they were due.
      expect(all.map(({ id }) => id)).toEqual(records.map(({ id }) => id));
      expect(
        all.every(({ payload, payloadIsShort }) => payload === undefined && payloadIsShort === true),
      ).toBe(true);
      const payloads = await a.execution.payloads(all);
      expect(all.map(({ id }) => payloads.get(id))).toEqual(all.map(() => ({ text: text(190) })));

      await database.submit(
        Array.from({ length: 200 }, () => 'n'),
        { payload: { text: text(190) } },
      );
      const { tasks: fewer } = await a.claim(500);
      expect(fewer).toHaveLength(200);
      expect(fewer.every(({ payload }) => payload !== undefined)).toBe(true);
    });

    it('stays within 64 KB and leaves the rest to the next: 500 names of 200 letters', async () => {
      const records = await database.submit(
        Array.from({ length: 500 }, (_, index) => `n${index}`.padEnd(200, 'x')),
        { payload: null },
      );
      const claims = await claimAll(500);
      expect(claims.length).toBeGreaterThan(1);
      expect(claims[0]?.length).toBeGreaterThan(180);
      // In the order in which they were due, and each once.
      expect(claims.flat().map(({ id }) => id)).toEqual(records.map(({ id }) => id));
    });

    it('says how many such tasks fit, so that as many can be asked for', async () => {
      expect(await a.claim(500)).toMatchObject({ tasks: [], fitting: Infinity });
      await database.submit(Array.from({ length: 700 }, (_, index) => `n${index}`.padEnd(200, 'x')));
      const cut = await a.claim(500);
      expect(cut.tasks.length).toBeGreaterThan(180);
      expect(cut.fitting / cut.tasks.length).toBeCloseTo(1, 1);
      const most = Math.floor(cut.fitting * 0.9);
      expect((await a.claim(most)).tasks).toHaveLength(most);
    });

    it.each([
      ['long names', '界'.repeat(200), null],
      ['names that grow as JSON', '"\\\u0001'.repeat(66), null],
      ['payloads as long as they may be', 'n', noise(4_096)],
    ])('stays within 64 KB: %s', async (_, name, payload) => {
      await database.submit(
        Array.from({ length: 200 }, () => name),
        { payload },
      );
      const claims = await claimAll(200);
      expect(claims.flat()).toHaveLength(200);
      expect(claims.flat().every((task) => task.name === name)).toBe(true);
    });

    it('records no more than it names', async () => {
      await database.submit(
        Array.from({ length: 200 }, () => '界'.repeat(200)),
        { partition: 1 },
      );
      const { tasks } = await a.claim(200);
      expect(tasks.length).toBeLessThan(110);
      expect(await database.records()).toEqual({ 1: [tasks.length] });
    });
  });
});
