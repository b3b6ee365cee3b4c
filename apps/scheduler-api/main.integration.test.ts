import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { bootstrap, connectBeside, isWaiting } from './testing/postgres-api.ts';

const WITHIN = { withinMs: 20_000 };

/** The process as `npm run api` starts it. */
function spawnApi(env: Record<string, string>) {
  const child: ChildProcess = spawn(process.execPath, ['bin/run.mjs', 'apps/scheduler-api/main.ts'], {
    env: { PATH: process.env['PATH'] ?? '', PORT: '0', LOG_FORMAT: 'json', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    exited,
    output: () => output,
    lines: () => output.split('\n').filter((line) => line !== ''),
    stop: () => child.kill('SIGTERM'),
    origin: () => eventually('it listens', () => /listening on (http:[^"]+)/.exec(output)?.[1], WITHIN),
  };
}

/** An address where nothing listens, and where nothing will as long as the test runs. */
const NOWHERE = 'postgres://someone:hunter2@127.0.0.1:1/nowhere';

describe('the process', () => {
  it('needs to know its database, and says so', async () => {
    const api = spawnApi({ PORT: 'http' });
    expect(await api.exited).toBe(2);
    expect(api.output()).toContain('DATABASE_URL is not set');
    expect(api.output()).toContain('PORT');
  });

  it('ends with one clear line when its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const api = spawnApi({ DATABASE_URL: NOWHERE, PORT: String(port) });
    expect(await api.exited).toBe(1);
    expect(api.lines()).toHaveLength(1);
    expect(api.output()).toContain(`port ${port} on 127.0.0.1 is taken`);
  });

  it('lives without a database, and keeps the password to itself', async () => {
    const api = spawnApi({ DATABASE_URL: NOWHERE });
    const origin = await api.origin();
    await eventually('it says so', () => api.output().includes('the database cannot be reached'), WITHIN);
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    expect((await fetch(`${origin}/readyz`)).status).toBe(503);
    expect((await fetch(`${origin}/readyz`)).status).toBe(503);
    api.stop();
    expect(await api.exited).toBe(0);
    expect(api.lines().filter((line) => line.includes('cannot be reached'))).toHaveLength(1);
    expect(api.output()).not.toContain('hunter2');
  });

  it('and another store one task of 100 requests with one Idempotency-Key, and remember it as long as they are told', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    await bootstrap(database.url);
    const beside = await connectBeside(database.url);
    const env = { DATABASE_URL: database.url, IDEMPOTENCY_KEY_HOURS: '0.5' };
    const apis = [spawnApi(env), spawnApi(env)];
    const origins = await Promise.all(apis.map((api) => api.origin()));

    const submit = async (origin: string) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': '"once"' };
      const response = await fetch(`${origin}/tasks`, { method: 'POST', headers, body: '{"name":"once"}' });
      expect([201, 409]).toContain(response.status);
      return response.status === 201 && ((await response.json()) as { id: number }).id;
    };
    const asked = Array.from({ length: 100 }, (_, n) => submit(origins[n % 2] ?? ''));
    const ids = new Set<unknown>((await Promise.all(asked)).filter((id) => id !== false));
    // Whoever was refused meanwhile is answered now.
    for (const origin of origins) ids.add(await submit(origin));
    const { rows } = await beside.query(
      `SELECT t.id::integer, extract(epoch FROM k.expires_at - k.created_at)::integer AS remembered_s
       FROM task t CROSS JOIN idempotency_key k`,
    );
    expect(rows).toEqual([{ id: [...ids][0], remembered_s: 1_800 }]);
    expect(ids.size).toBe(1);
  });

  it('finishes what is in flight when it is told to stop', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    await bootstrap(database.url);
    const beside = await connectBeside(database.url);
    const api = spawnApi({ DATABASE_URL: database.url });
    const origin = await api.origin();

    await beside.query('BEGIN; LOCK TABLE task IN SHARE MODE');
    const response = fetch(`${origin}/tasks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":"in-flight"}',
    });
    await eventually('the INSERT waits', () => isWaiting(beside, 'relation'), WITHIN);
    api.stop();
    await eventually('it stops', () => api.output().includes('SIGTERM: stopping'), WITHIN);
    await beside.query('COMMIT');

    expect((await response).status).toBe(201);
    expect((await response).headers.get('connection')).toBe('close');
    expect(await api.exited).toBe(0);
    expect((await beside.query('SELECT name FROM task')).rows).toEqual([{ name: 'in-flight' }]);
  });
});
