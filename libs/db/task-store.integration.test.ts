import fc from 'fast-check';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { partitionOf } from '../core/partition.ts';
import { AS_NEW } from '../testing/as-new.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import type { Json } from '../core/task.ts';
import { InvalidInputError } from './stores.ts';

describe('task store', () => {
  let database: DatabaseUnderTest;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start({ partitions: 64 });
  });
  afterAll(() => database.close());
  afterEach(() => database.clear());

  describe('insert', () => {
    it('answers with what get reads, in the order given and with growing ids', async () => {
      const tasks = [
        { name: 'now', key: null, payload: { a: [1, null, 'x'] }, scheduledAtMs: null },
        { name: 'then', key: 'k', payload: 'text', scheduledAtMs: 4_102_444_800_123 },
        { name: 'past', key: '', payload: null, scheduledAtMs: 1_704_067_199_000 },
      ];
      const records = await database.tasks.insert(tasks);
      expect(records.map(({ scheduledAtMs }) => scheduledAtMs)).toEqual([
        records[0]?.createdAtMs,
        4_102_444_800_123,
        1_704_067_199_000,
      ]);
      for (const [index, record] of records.entries()) {
        expect(await database.tasks.get(record.id)).toEqual({ ...AS_NEW, ...tasks[index], ...record });
        expect(record.id).toBeGreaterThan(records[index - 1]?.id ?? 0);
      }
    });

    it('shards by the key, or by the id where there is none', async () => {
      const records = await database.submit(['a', 'b'], { key: 'customer-7' });
      for (const { partitionId } of records) expect(partitionId).toBe(partitionOf('customer-7', 64));
      const { id, partitionId } = await database.submitOne();
      expect(partitionId).toBe(partitionOf(String(id), 64));
    });

    it('makes what was due in the past due now, behind what has waited since', async () => {
      const worker = await database.worker('w');
      await worker.own([0], 1);
      await database.submit(['first'], { partition: 0 });
      await database.submit(['long past'], { scheduledAtMs: 0, partition: 0 });
      expect((await worker.claim()).tasks.map(({ name }) => name)).toEqual(['first', 'long past']);
    });

    it.each([1, 3, 150])('stores %i as usual as it stores them beside what is not', async (count) => {
      const usual = Array.from({ length: count }, (_, index) => ({
        ...{ name: `n${index}`, key: index % 2 === 0 ? null : `schlüssel ${index}`, scheduledAtMs: null },
        payload: { lines: 'a\nb', index },
      }));
      await database.tasks.insert(usual);
      await database.tasks.insert([
        ...usual,
        { name: 'urgent', key: null, payload: null, scheduledAtMs: null, priority: 9 },
      ]);
      const { rows } = await database.pool.query<{ id: string; task: Record<string, unknown> }>(
        `SELECT id, to_jsonb(task) - '{id,scheduled_at,due_at,created_at}'::text[] ||
           jsonb_build_object('partition_id', partition_id = partition_of(coalesce(key, id::text), 64),
                              'now', scheduled_at = created_at AND due_at = created_at) AS task
         FROM task ORDER BY id`,
      );
      const stored = rows.map(({ task }) => task);
      expect(stored.slice(0, count)).toEqual(stored.slice(count, -1));
      expect(stored[0]).toMatchObject({
        name: 'n0',
        key: null,
        payload: usual[0]?.payload,
        partition_id: true,
        now: true,
      });
    });

    it('takes a whole batch of a thousand in order', async () => {
      const names = Array.from({ length: 1_000 }, (_, index) => `n${index}`);
      const records = await database.submit(names);
      const { rows } = await database.pool.query<{ name: string }>('SELECT id, name FROM task ORDER BY id');
      expect(rows).toEqual(names.map((name, index) => ({ id: String(records[index]?.id), name })));
    });

    it('shards many at a time as it does one, with and without Idempotency-Keys', async () => {
      const asked = Array.from({ length: 300 }, (_, index) => ({
        task: {
          ...{ name: 'n', payload: index, scheduledAtMs: null },
          key: index % 3 === 0 ? `schlüssel-${index}` : null,
        },
        once: index % 2 === 0 ? null : { key: `once-${index % 4}`, fingerprint: 'x' },
      }));
      const stored = await database.tasks.insertOnce(asked, 60_000);
      expect(await database.tasks.insertOnce(asked.slice(0, 200), 60_000)).toEqual(
        stored
          .slice(0, 200)
          .map((record, index) => (index % 2 === 0 ? expect.anything() : record) as unknown),
      );
      const { rows } = await database.pool.query<{ id: string; partition: number; hashed: number }>(
        `SELECT id, partition_id AS partition, partition_of(coalesce(key, id::text), 64) AS hashed FROM task ORDER BY id`,
      );
      expect(rows).toHaveLength(400);
      expect(rows.map(({ partition }) => partition)).toEqual(rows.map(({ hashed }) => hashed));
      expect(rows.slice(0, 300).map(({ id, partition }) => [Number(id), partition])).toEqual(
        stored.map((record) => typeof record === 'object' && [record.id, record.partitionId]),
      );
    });

    it.each([
      ['the first day of year 0', -62_167_219_200_000],
      ['year 50', Date.UTC(2000, 0, 1) - 1950 * 31_556_952_000],
      ['a millisecond before 1970', -1],
      ['the last millisecond of year 9999', 253_402_300_799_999],
    ])('keeps a time exactly: %s', async (_, scheduledAtMs) => {
      const { id } = await database.submitOne({ scheduledAtMs });
      expect((await database.tasks.get(id))?.scheduledAtMs).toBe(scheduledAtMs);
    });

    it('keeps any JSON', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.jsonValue({ maxDepth: 4 }), { minLength: 1, maxLength: 20 }),
          async (payloads) => {
            // The jsonb that readers see has neither NUL nor −0; the API refuses the one, JSON itself drops the other.
            const storable = payloads.map(
              (payload) => JSON.parse(JSON.stringify(payload).replaceAll('\\u0000', '')) as Json,
            );
            const records = await database.tasks.insert(
              storable.map((payload) => ({ name: 'x', key: null, payload, scheduledAtMs: null })),
            );
            const read = await Promise.all(records.map(({ id }) => database.tasks.get(id)));
            expect(read.map((record) => record?.payload)).toEqual(storable);
          },
        ),
        { numRuns: 20 },
      );
    });

    it.each<[string, { name?: string; key?: string; payload?: Json; scheduledAtMs?: number }]>([
      ['a NUL in the name', { name: 'a\0b' }],
      ['a NUL in the key', { key: '\0' }],
      ['a time beyond what Postgres holds', { scheduledAtMs: 8_640_000_000_000_000 * 1_000 }],
      ['a payload nested too deep for Postgres', { payload: nested(100_000) }],
    ])('refuses what the database cannot hold, and stores nothing of the batch: %s', async (_, task) => {
      const good = { name: 'good', key: null, payload: null, scheduledAtMs: null };
      await expect(database.tasks.insert([good, { ...good, ...task }])).rejects.toThrow(InvalidInputError);
      const { rowCount } = await database.pool.query('SELECT FROM task');
      expect(rowCount).toBe(0);
    });

    it('of nothing is nothing', async () => {
      expect(await database.tasks.insert([])).toEqual([]);
    });
  });

  describe('the notification of what is due soon', () => {
    let listener: pg.Client;
    let heard: (string | undefined)[];
    beforeAll(async () => {
      listener = new pg.Client(database.url);
      await listener.connect();
      listener.on('notification', ({ payload }) => heard.push(payload));
      await listener.query('LISTEN task_due');
    });
    afterAll(() => listener.end());

    async function hearing(act: () => Promise<unknown>): Promise<(string | undefined)[]> {
      heard = [];
      await act();
      await listener.query('SELECT 1');
      return heard;
    }

    /** `MS:P,P,…` */
    function parsed(payload = ''): { sinceMs: number; partitions: number[] } {
      const [time, list] = payload.split(':');
      return {
        sinceMs: Number(time),
        partitions: (list ?? '')
          .split(',')
          .map(Number)
          .toSorted((a, b) => a - b),
      };
    }

    it('names each partition once, in one notification a statement, with the earliest due time', async () => {
      const keys = ['x', 'y', 'x', 'z'];
      const soon = Date.now() + 3_000;
      const [payload, ...more] = await hearing(() =>
        database.tasks.insert(
          keys.map((key, index) => ({ name: 'n', key, payload: null, scheduledAtMs: soon - index })),
        ),
      );
      expect(more).toEqual([]);
      const partitions = [...new Set(keys.map((key) => partitionOf(key, 64)))].toSorted((a, b) => a - b);
      expect(parsed(payload)).toEqual({ sinceMs: soon - 3, partitions });
    });

    it('of what was due in the past says the time of its insertion', async () => {
      const [payload] = await hearing(() => database.submit(['long past'], { scheduledAtMs: 0 }));
      const { rows } = await database.pool.query<{ ms: string }>('SELECT epoch_ms(due_at) AS ms FROM task');
      expect(parsed(payload).sinceMs).toBe(Number(rows[0]?.ms));
    });

    it('leaves out what is due later, and is none where nothing is due soon', async () => {
      const later = { name: 'n', payload: null, scheduledAtMs: Date.now() + 60_000 };
      expect(await hearing(() => database.tasks.insert([{ ...later, key: 'x' }]))).toEqual([]);
      const soon = Date.now() + 2_000;
      const mixed = [
        { ...later, key: 'x' },
        { ...later, key: 'y', scheduledAtMs: soon },
      ];
      expect(await hearing(() => database.tasks.insert(mixed))).toEqual([`${soon}:${partitionOf('y', 64)}`]);
    });

    it('of more partitions than a notification holds is *', async () => {
      const all = Array.from({ length: 3_000 }, (_, index) => index);
      const notify = (partitions: number[]) =>
        hearing(() => database.pool.query('SELECT notify_task_due($1, to_timestamp(1.5))', [partitions]));
      expect(await notify(all)).toEqual(['1500:*']);
      const [most] = await notify(all.slice(0, 1_500));
      expect(parsed(most).partitions).toHaveLength(1_500);
      expect(await notify([])).toEqual([]);
    });
  });

  it('partition_of in Postgres agrees with partitionOf here', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary', maxLength: 60 }), { minLength: 200, maxLength: 200 }),
        fc.integer({ min: 1, max: 65_536 }),
        async (strings, partitions) => {
          const keys = strings.map((key) => key.replaceAll('\0', ''));
          const { rows } = await database.pool.query<{ p: number }>(
            'SELECT partition_of(key, $2) AS p FROM unnest($1::text[]) WITH ORDINALITY AS k (key, n) ORDER BY n',
            [keys, partitions],
          );
          expect(rows.map(({ p }) => p)).toEqual(keys.map((key) => partitionOf(key, partitions)));
        },
      ),
      { numRuns: 25 },
    );
  });

  describe('cluster', () => {
    it('tells the living from the dead, a worker once by its newest incarnation, and no one long gone', async () => {
      await database.pool.query('DELETE FROM worker_session');
      const former = await database.worker('twice');
      await database.pool.query(`UPDATE worker_session SET started_at = now() - interval '1 s'`);
      const twice = await database.worker('twice');
      await former.own([1], 10);
      await twice.own([2, 5], 10);
      const dead = await database.worker('dead');
      const [gone, goneOwner] = [await database.worker('gone'), await database.worker('gone owner')];
      await goneOwner.own([3], 10);
      for (const worker of [former, dead]) await database.expireLease(worker);
      await database.pool.query(
        `UPDATE worker_session SET expires_at = now() - interval '6 minutes' WHERE incarnation = ANY ($1)`,
        [[gone.incarnation, goneOwner.incarnation]],
      );

      const { partitions, workers } = await database.tasks.cluster();
      expect(partitions).toHaveLength(64);
      expect(partitions[5]).toEqual({ id: 5, owner: 'twice', epoch: 10 });
      expect(partitions[63]).toEqual({ id: 63, owner: null, epoch: 0 });
      expect(workers.map(({ id, alive, partitions: owned }) => ({ id, alive, owned }))).toEqual([
        { id: 'dead', alive: false, owned: [] },
        { id: 'gone owner', alive: false, owned: [3] },
        { id: 'twice', alive: true, owned: [1, 2, 5] },
      ]);
    });
  });

  it('answers a ping, and says what the cluster is', async () => {
    await database.tasks.ping();
    expect(await database.tasks.readMeta()).toEqual({ uid: 'uid-1', partitions: 64 });
  });
});

function nested(depth: number): Json {
  let value: Json = 1;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
}
