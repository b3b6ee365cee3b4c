import { describe, expect, it, onTestFinished } from 'vitest';
import { migrate } from '../../libs/db/migrate.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase, startPrivatePostgres } from '../../libs/testing/postgres.ts';
import { startTcpProxy } from '../../libs/testing/tcp-proxy.ts';
import { bootstrap, connectBeside, startApi } from './testing/postgres-api.ts';

const AWAY = 'the database cannot be reached: answering 503 until it is back';
const NOT_INITIALISED = 'the database has not been initialised: answering 503 until cluster-init has run';
const BACK = 'the database is back and initialised';

const ready = (api: Awaited<ReturnType<typeof startApi>>) =>
  eventually('the API is ready', async () => (await api.get('/readyz')).status === 200, { withinMs: 15_000 });

async function expectUnavailable(response: Response, code: string): Promise<void> {
  expect(response.status).toBe(503);
  expect(response.headers.get('retry-after')).toBe('1');
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(await response.json()).toMatchObject({ type: `/problems/${code}`, status: 503 });
}

describe('the API without its database', () => {
  it('answers 503, says so once, and goes on by itself', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    await bootstrap(database.url);
    const proxied = new URL(database.url);
    const proxy = await startTcpProxy(`${proxied.hostname}:${proxied.port}`);
    onTestFinished(() => proxy.close());
    proxied.host = proxy.connectString;
    const api = await startApi(proxied.href);
    await ready(api);

    proxy.refuse();
    proxy.cut();
    await eventually('the outage is noticed', async () => (await api.get('/readyz')).status === 503, {
      withinMs: 15_000,
    });
    await expectUnavailable(await api.post({ name: 'x' }), 'database-unavailable');
    await expectUnavailable(await api.get('/tasks/1'), 'database-unavailable');
    await expectUnavailable(await api.remove('/tasks/1'), 'database-unavailable');
    await expectUnavailable(await api.get('/cluster'), 'database-unavailable');
    expect((await api.get('/healthz')).status).toBe(200);
    expect((await api.post('{')).status).toBe(400);

    proxy.forward();
    await eventually('the return is said', () => api.messages().includes(BACK), { withinMs: 15_000 });
    expect((await api.post({ name: 'x' })).status).toBe(201);
    expect(api.messages()).toEqual([AWAY, BACK]);
  });

  it('waits for cluster-init', async () => {
    const database = await createTestDatabase({ migrated: false });
    onTestFinished(() => database.drop());
    const api = await startApi(database.url);
    await expectUnavailable(await api.post({ name: 'x' }), 'not-initialised');
    await expectUnavailable(await api.get('/readyz'), 'not-initialised');
    await migrate({ url: database.url });
    await expectUnavailable(await api.post({ name: 'x' }), 'not-initialised');
    await bootstrap(database.url);
    expect((await api.post({ name: 'x' })).status).toBe(201);
    await eventually('the return is said', () => api.messages().includes(BACK), { withinMs: 15_000 });
    expect(api.messages()).toEqual([NOT_INITIALISED, BACK]);
  });

  it(
    'loses nothing it has acknowledged when the database restarts under load',
    { timeout: 60_000 },
    async () => {
      const postgres = await startPrivatePostgres();
      onTestFinished(() => postgres.stop());
      await migrate({ url: postgres.url });
      await bootstrap(postgres.url);
      const api = await startApi(postgres.url);
      await ready(api);

      const acknowledged: number[] = [];
      const statuses = new Set<number>();
      let submitting = true;
      const submitters = Array.from({ length: 8 }, async () => {
        while (submitting) {
          const response = await api.post({ name: 'x' });
          statuses.add(response.status);
          const { id } = (await response.json()) as { id?: number };
          if (id !== undefined) acknowledged.push(id);
        }
      });
      const acknowledge = (count: number) =>
        eventually(`${count} tasks`, () => acknowledged.length >= count, { withinMs: 15_000 });
      await acknowledge(50);
      await postgres.halt();
      await eventually('a 503', () => statuses.has(503), { withinMs: 15_000 });
      const before = acknowledged.length;
      await postgres.resume();
      await acknowledge(before + 50);
      submitting = false;
      await Promise.all(submitters);

      expect([...statuses].sort()).toEqual([201, 503]);
      const beside = await connectBeside(postgres.url);
      const { rows } = await beside.query<{ id: string }>('SELECT id FROM task');
      const stored = new Set(rows.map(({ id }) => Number(id)));
      expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
      await eventually('the return is said', () => api.messages().includes(BACK), { withinMs: 15_000 });
    },
  );
});
