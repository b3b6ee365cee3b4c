import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import type { TestDatabase } from '../../libs/testing/postgres.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { MAX_DEPTH } from '../../libs/core/json-guard.ts';
import { MAX_PAYLOAD_BYTES } from './submission.ts';
import { bootstrap, connectBeside, isWaiting, PARTITIONS, startApi } from './testing/postgres-api.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await bootstrap(database.url);
});
afterAll(() => database.drop());

const start = async () => ({
  ...(await startApi(database.url)),
  beside: await connectBeside(database.url),
});

interface TaskBody {
  id: number;
  partitionId: number;
  payload: unknown;
  scheduledTime: string;
}

describe('submitting', () => {
  it('stores the task and shows it again', async () => {
    const { post, get } = await start();
    const response = await post({
      name: 'MyDistributedTask',
      scheduledTime: '2023-12-31T23:59:59',
      payload: 'Payload Data',
    });
    expect(response.status).toBe(201);
    const submitted = (await response.json()) as TaskBody;
    expect(submitted).toEqual({
      id: submitted.id,
      eventName: 'MyDistributedTask',
      status: 'PENDING',
      partitionId: expect.any(Number) as number,
      scheduledTime: '2023-12-31T23:59:59.000Z',
      payload: 'Payload Data',
      key: null,
      attempt: 0,
      createdAt: expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
    });
    const location = response.headers.get('location') ?? '';
    expect(location).toBe(`/tasks/${submitted.id}`);
    expect(await (await get(location)).json()).toEqual({
      ...submitted,
      startedAt: null,
      completedAt: null,
      workerId: null,
      leaseExpiresAt: null,
      ...{
        lastError: null,
        progress: null,
        result: null,
        timeoutMs: null,
        priority: 0,
        serial: false,
        tags: [],
        maxAttempts: 5,
      },
      backoff: { baseMs: 1_000, maxMs: 300_000, factor: 2 },
    });
  });

  it('puts tasks of one key into one partition', async () => {
    const { post } = await start();
    const partitions = new Set<number>();
    for (let index = 0; index < 5; index++) {
      const { partitionId } = (await (await post({ name: `task-${index}`, key: 'one' })).json()) as TaskBody;
      partitions.add(partitionId);
    }
    expect(partitions.size).toBe(1);
    expect([...partitions][0]).toBeLessThan(PARTITIONS);
  });

  it(
    'gives 500 submissions at once 500 ids, each task its own, and later ones larger ids',
    { timeout: 60_000 },
    async () => {
      const { post } = await start();
      const submit = async (name: string) => (await (await post({ name, payload: name })).json()) as TaskBody;
      const earlier = await submit('earlier');
      const tasks = await Promise.all(Array.from({ length: 500 }, (_, index) => submit(`task-${index}`)));
      const later = await submit('later');
      const ids = tasks.map(({ id }) => id);
      expect(new Set(ids).size).toBe(500);
      expect(Math.min(...ids)).toBeGreaterThan(earlier.id);
      expect(Math.max(...ids)).toBeLessThan(later.id);
      expect(tasks.map(({ payload }) => payload)).toEqual(tasks.map((_, index) => `task-${index}`));
    },
  );

  it('acknowledges after the commit, not after the INSERT', async () => {
    const { post, get, beside } = await start();
    // Runs at COMMIT, and waits there for a lock that we hold.
    await beside.query(`
      CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END';
      CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON task DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.name = 'held') EXECUTE FUNCTION hold_commit();
      SELECT pg_advisory_lock(4711);`);
    let answered = false;
    const response = post({ name: 'held' }).finally(() => (answered = true));
    await eventually('the commit waits', () => isWaiting(beside, 'advisory'), { withinMs: 10_000 });
    expect((await get('/healthz')).status).toBe(200);
    expect(answered).toBe(false);
    expect((await beside.query(`SELECT 1 FROM task WHERE name = 'held'`)).rows).toEqual([]);
    await beside.query('SELECT pg_advisory_unlock(4711)');
    expect((await response).status).toBe(201);
    expect((await beside.query(`SELECT 1 FROM task WHERE name = 'held'`)).rows).toHaveLength(1);
    await beside.query('DROP TRIGGER hold_commit ON task; DROP FUNCTION hold_commit');
  });

  it('stores and returns a payload of exactly 256 KB, and not one byte more', async () => {
    const { post, get } = await start();
    const payload = 'ö'.repeat(MAX_PAYLOAD_BYTES / 2 - 1);
    const accepted = await post({ name: '😀'.repeat(200), key: '😀'.repeat(200), payload });
    expect(accepted.status).toBe(201);
    const stored = await get(accepted.headers.get('location') ?? '');
    expect(((await stored.json()) as TaskBody).payload).toBe(payload);
    expect((await post({ name: 'x', payload: `${payload}x` })).status).toBe(413);
  });

  it('stores and returns a payload as deep as allowed', async () => {
    const { post, get } = await start();
    // The task itself is the first level.
    const payload = `${'['.repeat(MAX_DEPTH - 1)}${']'.repeat(MAX_DEPTH - 1)}`;
    const accepted = await post(`{"name":"x","payload":${payload}}`);
    expect(accepted.status).toBe(201);
    const stored = await get(accepted.headers.get('location') ?? '');
    expect(JSON.stringify(((await stored.json()) as TaskBody).payload)).toBe(payload);
    expect((await post(`{"name":"x","payload":[${payload}]}`)).status).toBe(400);
  });

  it.each([
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
    ['1969-12-31T23:59:59.999Z', '1969-12-31T23:59:59.999Z'],
    ['2030-06-01T12:00:00.1234567+02:00', '2030-06-01T10:00:00.124Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('keeps the scheduled time %s to the millisecond', async (scheduledTime, expected) => {
    const { post, get } = await start();
    const response = await post({ name: 'x', scheduledTime });
    expect(((await response.json()) as TaskBody).scheduledTime).toBe(expected);
    const stored = await get(response.headers.get('location') ?? '');
    expect(((await stored.json()) as TaskBody).scheduledTime).toBe(expected);
  });

  it('gives back any JSON it takes', { timeout: 60_000 }, async () => {
    const { post, get } = await start();
    await fc.assert(
      fc.asyncProperty(fc.json({ stringUnit: 'binary' }), async (json) => {
        const response = await post(`{"name":"x","payload":${json}}`);
        if (response.status !== 201) {
          expect(response.status).toBe(400);
          expect(json).toMatch(/\\u0000|\\ud[89a-f]|__proto__/i);
          return;
        }
        const sent: unknown = JSON.parse(JSON.stringify(JSON.parse(json)));
        expect(((await response.json()) as TaskBody).payload).toEqual(sent);
        const stored = await get(response.headers.get('location') ?? '');
        expect(((await stored.json()) as TaskBody).payload).toEqual(sent);
      }),
      { numRuns: 50 },
    );
  });
});

describe('bad input', () => {
  const name = '"name":"bad"';
  it.each([
    ['broken JSON', '{', 400],
    ['no JSON at all', '', 400],
    ['an array', '[]', 400],
    ['100,000 brackets', '['.repeat(100_000), 400],
    [
      'a payload nested 100,000 deep',
      `{${name},"payload":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      400,
    ],
    ['no name', '{}', 400],
    ['an empty name', '{"name":""}', 400],
    ['a name of 201 characters', `{"name":"${'x'.repeat(201)}"}`, 400],
    ['a name of another type', '{"name":1}', 400],
    ['a NUL in the name', '{"name":"bad\\u0000"}', 400],
    ['a NUL in the key', `{${name},"key":"\\u0000"}`, 400],
    ['a NUL in the payload', `{${name},"payload":{"a":["\\u0000"]}}`, 400],
    ['a NUL in a key of the payload', `{${name},"payload":{"\\u0000":1}}`, 400],
    ['half a surrogate pair', `{${name},"payload":"\\ud800"}`, 400],
    ['a number beyond a double', `{${name},"payload":1e400}`, 400],
    ['an unknown field', `{${name},"nope":1}`, 400],
    ['a date that does not exist', `{${name},"scheduledTime":"2023-02-31T00:00:00"}`, 400],
    ['a time of another type', `{${name},"scheduledTime":1}`, 400],
    ['a key of another type', `{${name},"key":{}}`, 400],
    ['a payload too large', `{${name},"payload":"${'x'.repeat(MAX_PAYLOAD_BYTES)}"}`, 413],
    ['a body too large', `{${name},"payload":${' '.repeat(2_000_000)}1}`, 413],
  ])('%s: refused, and nothing stored', async (_, body, status) => {
    const { post, beside, messages } = await start();
    const count = async () => (await beside.query<{ n: string }>('SELECT count(*) AS n FROM task')).rows;
    const before = await count();
    const response = await post(body);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({
      status,
      type: expect.stringMatching(/^\/problems\//) as string,
    });
    expect(await count()).toEqual(before);
    expect(messages()).toEqual([]);
  });

  it.each(['9007199254740991', '9007199254740992', '9223372036854775808', '1'.repeat(400), 'x', '-1'])(
    'the id %.30s is never a fault of ours',
    async (id) => {
      const { get, remove } = await start();
      const status = id === '9007199254740991' ? 404 : 400;
      expect((await get(`/tasks/${id}`)).status).toBe(status);
      expect((await remove(`/tasks/${id}`)).status).toBe(status);
    },
  );
});

describe('removing', () => {
  it('takes a waiting task away, once', async () => {
    const { post, get, remove } = await start();
    const location = (await post({ name: 'x' })).headers.get('location') ?? '';
    expect((await remove(location)).status).toBe(204);
    expect((await get(location)).status).toBe(404);
    expect((await remove(location)).status).toBe(404);
  });

  it('asks a running task to end', async () => {
    const { post, get, remove, beside } = await start();
    const { id } = (await (await post({ name: 'x' })).json()) as TaskBody;
    await beside.query(
      `INSERT INTO worker_session (incarnation, worker_id, backend_name, lease_ms, expires_at)
       VALUES ('a', 'worker-1', 'test', 4000, '2999-01-01T00:00:00Z')`,
    );
    await beside.query(
      `INSERT INTO claim_record (partition_id, id, claim_id, incarnation, worker_id, epoch, claimed_at, task_ids, attempts)
       SELECT partition_id, 1, gen_random_uuid(), 'a', 'worker-1', 1, '2024-01-01T00:00:00Z', ARRAY[id], '{1}'
       FROM task WHERE id = $1`,
      [id],
    );
    const response = await remove(`/tasks/${id}`);
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ id, cancelRequested: true });
    expect(await (await get(`/tasks/${id}`)).json()).toMatchObject({
      status: 'RUNNING',
      attempt: 1,
      startedAt: '2024-01-01T00:00:00.000Z',
      workerId: 'worker-1',
      leaseExpiresAt: '2999-01-01T00:00:00.000Z',
    });
  });
});

describe('the cluster', () => {
  it('is shown as the database knows it', async () => {
    const { get, beside } = await start();
    await beside.query(
      `INSERT INTO worker_session (incarnation, worker_id, backend_name, lease_ms, expires_at)
       VALUES ('b', 'worker-2', 'test', 4000, '2999-01-01T00:00:00Z')`,
    );
    await beside.query(
      `UPDATE partition_owner SET epoch = 3, owner = 'worker-2', incarnation = 'b', acquired_at = now()
       WHERE partition_id IN (1, 2)`,
    );
    const cluster = (await (await get('/cluster')).json()) as { partitions: unknown[]; workers: unknown[] };
    expect(cluster.partitions).toHaveLength(PARTITIONS);
    expect(cluster.partitions.slice(0, 3)).toEqual([
      { id: 0, owner: null, epoch: 0 },
      { id: 1, owner: 'worker-2', epoch: 3 },
      { id: 2, owner: 'worker-2', epoch: 3 },
    ]);
    expect(cluster.workers).toContainEqual({
      id: 'worker-2',
      alive: true,
      partitions: [1, 2],
      leaseExpiresAt: '2999-01-01T00:00:00.000Z',
    });
  });
});
