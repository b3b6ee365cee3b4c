import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import type { TestDatabase } from '../../libs/testing/postgres.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { bootstrap, connectBeside, isWaiting, startApi } from './testing/postgres-api.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await bootstrap(database.url);
});
afterAll(() => database.drop());

let keys = 0;
const newKey = () => `key-${++keys}`;

async function start() {
  const { origin } = await startApi(database.url);
  const send = (path: string, body: unknown, key: string, contentType = 'application/json') =>
    fetch(`${origin}${path}`, {
      method: 'POST',
      headers: { 'content-type': contentType, 'idempotency-key': key },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { origin, send, beside: await connectBeside(database.url) };
}

async function countOf(beside: Awaited<ReturnType<typeof connectBeside>>, name: string): Promise<number> {
  const { rows } = await beside.query<{ count: string }>('SELECT count(*) FROM task WHERE name = $1', [name]);
  return Number(rows[0]?.count);
}

describe('a request with an Idempotency-Key', () => {
  it('that comes again, from another API as well, gets the first answer and stores nothing', async () => {
    const [one, other] = [await start(), await start()];
    const key = newKey();
    const body = { name: key, payload: { n: 1, m: [{ a: 2, b: 1 }] }, delay: 'PT1H', priority: 3 };
    const first = await one.send('/tasks', body, `"${key}"`);
    expect(first.status).toBe(201);
    const answer = await first.text();
    for (const api of [one, other]) {
      // Without quotes, and with another spelling of the same JSON.
      const again = await api.send('/tasks', JSON.stringify(body, null, 2), key);
      expect([again.status, await again.text()]).toEqual([201, answer]);
      expect(again.headers.get('location')).toBe(first.headers.get('location'));
    }
    const reordered = { priority: 3, payload: { m: [{ b: 1, a: 2 }], n: 1 }, delay: 'PT1H', name: key };
    const again = await one.send('/tasks', reordered, key);
    expect([again.status, await again.json()]).toEqual([201, JSON.parse(answer)]);
    expect(await countOf(one.beside, key)).toBe(1);
  });

  it('gets the first answer even when the task has changed since, or is gone', async () => {
    const { origin, send } = await start();
    const key = newKey();
    const answer = await (await send('/tasks', { name: key }, key)).text();
    const { id } = JSON.parse(answer) as { id: number };
    await fetch(`${origin}/tasks/${id}`, { method: 'DELETE' });
    expect(await (await send('/tasks', { name: key }, key)).text()).toBe(answer);
  });

  it('with another body, or to another resource, is refused with 422', async () => {
    const { send, beside } = await start();
    const key = newKey();
    await send('/tasks', { name: key, payload: [1, 2] }, key);
    for (const response of [
      await send('/tasks', { name: key, payload: 1 }, key),
      await send('/tasks', { name: key, payload: [2, 1] }, key),
      await send('/jobs', { type: key }, key),
      await send('/tasks/batch', [{ name: key }], key),
    ]) {
      expect(response.status).toBe(422);
      expect(await response.json()).toMatchObject({ type: '/problems/idempotency-key-reused' });
    }
    expect(await countOf(beside, key)).toBe(1);
  });

  it('is refused with 409 while the first is in flight in the same process', async () => {
    const { send, beside } = await start();
    const key = newKey();
    await beside.query('BEGIN; LOCK TABLE task IN ACCESS EXCLUSIVE MODE');
    const first = send('/tasks', { name: key }, key);
    await eventually('the first waits', () => isWaiting(beside, 'relation'), { withinMs: 5_000 });
    const second = await send('/tasks', { name: key }, key);
    expect([second.status, second.headers.get('retry-after')]).toEqual([409, '1']);
    await beside.query('ROLLBACK');
    expect((await first).status).toBe(201);
    expect((await send('/tasks', { name: key }, key)).status).toBe(201);
    expect(await countOf(beside, key)).toBe(1);
  });

  it('is refused with 409 while the first is in flight anywhere else, and holds up nobody', async () => {
    const { send, beside } = await start();
    const key = newKey();
    const another = newKey();
    await beside.query('BEGIN');
    await beside.query(
      `SELECT FROM insert_tasks($2, '{null}', '{"null"}', '{null}', '{null}', '{null}', 60000, $1, '{x}')`,
      [[key], [key]],
    );
    const sendAll = () =>
      Promise.all([
        send('/tasks', { name: key }, key),
        send('/tasks/batch', [{ name: key }, { name: key }], key),
        send('/tasks', { name: another }, another),
      ]);
    // The first two are refused by this API or by the database, whichever comes to it.
    const [first, second, third] = await sendAll();
    expect([first.status, second.status, third.status]).toEqual([409, 409, 201]);
    const alone = await send('/tasks', { name: key }, key);
    expect([alone.status, alone.headers.get('retry-after')]).toEqual([409, '1']);
    expect(await alone.json()).toMatchObject({ type: '/problems/idempotency-key-in-flight' });
    await beside.query('ROLLBACK');
    expect((await send('/tasks', { name: key }, key)).status).toBe(201);
    expect(await countOf(beside, key)).toBe(1);
    expect(await countOf(beside, another)).toBe(1);
  });

  it('among 100 at once to two APIs, is one task', async () => {
    const [one, other] = [await start(), await start()];
    const key = newKey();
    const responses = await Promise.all(
      Array.from({ length: 100 }, (_, n) => (n % 2 === 0 ? one : other).send('/tasks', { name: key }, key)),
    );
    const stored = new Set<unknown>();
    for (const response of responses) {
      expect([201, 409]).toContain(response.status);
      const { id } = (await response.json()) as { id?: number };
      if (response.status === 201) stored.add(id);
    }
    expect(stored.size).toBe(1);
    expect(await countOf(one.beside, key)).toBe(1);
  });

  it('that stored nothing may be tried again', async () => {
    const { send } = await start();
    const key = newKey();
    expect((await send('/tasks', { name: '' }, key)).status).toBe(400);
    expect((await send('/tasks', { name: key }, key)).status).toBe(201);
  });

  it('is a new one when the key is no longer remembered', async () => {
    const { send, beside } = await start();
    const key = newKey();
    await send('/tasks', { name: key }, key);
    await beside.query('UPDATE idempotency_key SET expires_at = now() WHERE key = $1', [key]);
    expect((await send('/tasks', { name: key, payload: 'another' }, key)).status).toBe(201);
    expect(await countOf(beside, key)).toBe(2);
    const { rows } = await beside.query(
      `SELECT expires_at - created_at BETWEEN '23:59:59' AND '24:00:01' AS a_day FROM idempotency_key WHERE key = $1`,
      [key],
    );
    expect(rows).toEqual([{ a_day: true }]);
  });

  it('takes away keys that are no longer remembered, so that they never become many', async () => {
    const { send, beside } = await start();
    await beside.query(
      `INSERT INTO idempotency_key SELECT 'old ' || n, '', '{}', '{}', now(), now() - n * interval '1 second' FROM generate_series(1, 5) AS n`,
    );
    const left = async () => {
      const { rows } = await beside.query<{ key: string }>(
        `SELECT key FROM idempotency_key WHERE key LIKE 'old %' ORDER BY key`,
      );
      return rows.map(({ key }) => key);
    };
    await send('/tasks', { name: 'x' }, newKey());
    expect(await left()).toEqual(['old 1', 'old 2', 'old 3']);
    await send('/tasks', { name: 'x' }, newKey());
    await send('/tasks', { name: 'x' }, newKey());
    expect(await left()).toEqual([]);
  });

  it('stores an array once, and answers with the same ids', async () => {
    const { send, beside } = await start();
    const key = newKey();
    const body = ['a', 'b', 'c'].map((payload) => ({ name: key, payload }));
    const first = await send('/tasks/batch', body, key);
    expect(first.status).toBe(201);
    const answer = await first.text();
    expect(await (await send('/tasks/batch', body, key)).text()).toBe(answer);
    expect(await countOf(beside, key)).toBe(3);
  });

  it.each(['', '""', '"open', 'with space', 'ünïcode', '"a", "b"', 'x'.repeat(256)])(
    'whose key is %s is malformed',
    async (key) => {
      const { send } = await start();
      // What fetch refuses to send arrives as bytes of Latin-1.
      const response = await send('/tasks', { name: 'x' }, key);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ type: '/problems/invalid-idempotency-key' });
    },
  );

  it('of lines is refused: they are stored one by one', async () => {
    const { send } = await start();
    const response = await send('/tasks/batch', '{"name":"x"}\n', newKey(), 'application/x-ndjson');
    expect(response.status).toBe(400);
  });
});
