/** Lines over a store that commits when it is told to, and a clock that is moved by hand. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import type { ApiLimits } from './app.ts';
import { API_LIMITS, buildApp } from './app.ts';
import { MemoryTaskStore } from './testing/memory-task-store.ts';

const IDLE_MS = 30_000;
const WAIT = { timeout: 10_000 };

interface Outcome {
  readonly line?: number;
  readonly id?: number;
  readonly error?: { readonly type: string };
}

async function start(limits: Partial<ApiLimits> = {}) {
  const [store, clock] = [new MemoryTaskStore(), new ManualClock()];
  const log: string[] = [];
  const api = buildApp({
    ...{ store, clock, limits },
    logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
  });
  onTestFinished(() => api.close());
  await api.listen({ host: '127.0.0.1', port: 0 });
  const { port } = api.server.address() as AddressInfo;
  return { store, clock, log, api, port };
}

/** A request of lines, which are written by hand. @returns its outcomes as they have come, and when there are no more */
function send(port: number) {
  const client = request({ port, host: '127.0.0.1', path: '/tasks/batch', method: 'POST', agent: false });
  client.setHeader('content-type', 'application/x-ndjson');
  client.flushHeaders();
  let received = '';
  const ended = (once(client, 'response') as Promise<[IncomingMessage]>).then(async ([response]) => {
    for await (const chunk of response.setEncoding('utf8')) received += String(chunk);
  });
  const outcomes = () =>
    received
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Outcome);
  return { client, outcomes, ended };
}

it('half a line is none where the API cuts it off', async () => {
  const { port, api, store } = await start();
  const { client, outcomes, ended } = send(port);
  client.write('{"name":"a"}\n{"na');
  await expect.poll(outcomes, WAIT).toMatchObject([{ line: 1, id: 1 }]);
  const closed = api.close();
  await ended;
  expect(outcomes()).toMatchObject([{ line: 1, id: 1 }, { error: { type: '/problems/overloaded' } }]);
  expect(outcomes()[1]).not.toHaveProperty('line');
  expect(store.inserts).toEqual([['a']]);
  await closed;
});

it('a body that has been read to its end is not said to be cut short', async () => {
  const { port, api, store } = await start();
  const commit = store.holdCommits();
  const { client, outcomes, ended } = send(port);
  client.end('{"name":"a"}\n{"name":"b"}');
  await expect.poll(() => store.inserts.flat(), WAIT).toEqual(['a', 'b']);
  const closed = api.close();
  await expect.poll(() => api.server.listening, WAIT).toBe(false);
  commit();
  await ended;
  expect(outcomes()).toMatchObject([
    { line: 1, id: 1 },
    { line: 2, id: 2 },
  ]);
  await closed;
});

it('who waits for what is being stored is not late', async () => {
  const { port, clock, store } = await start();
  const { client, outcomes, ended } = send(port);
  const commit = store.holdCommits();
  client.write('{"name":"a"}\n');
  await expect.poll(() => store.inserts, WAIT).toEqual([['a']]);
  await clock.advance(3 * IDLE_MS);
  commit();
  await expect.poll(outcomes, WAIT).toHaveLength(1);
  // From now on it is the caller who is waited for.
  await clock.advance(IDLE_MS - 1);
  client.write('{"name":"b"}\n');
  await expect.poll(outcomes, WAIT).toHaveLength(2);
  await clock.advance(IDLE_MS);
  await ended;
  expect(outcomes()).toMatchObject([
    { line: 1, id: 1 },
    { line: 2, id: 2 },
    { error: { type: '/problems/request-timeout' } },
  ]);
});

it('a fault that many lines share is logged once', async () => {
  const { port, log, store } = await start();
  const { client, outcomes, ended } = send(port);
  store.fault = new Error('not to be expected');
  client.end('{"name":"x"}\n'.repeat(100));
  await ended;
  expect(outcomes().map(({ error }) => error?.type)).toEqual(Array(100).fill('/problems/internal'));
  const messages = log.map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(messages.filter((message) => message === 'a request failed')).toHaveLength(1);
});

it('what follows on the same connection is late like any other request', async () => {
  const { port } = await start({ requestTimeoutMs: 500 });
  const socket = connect({ port, host: '127.0.0.1' });
  const head = (path: string, type: string, length: number) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;
  const line = '{"name":"x"}\n';
  socket.write(`${head('/tasks/batch', 'application/x-ndjson', line.length)}${line}`);
  let received = '';
  const rest = (async () => {
    for await (const chunk of socket.setEncoding('latin1')) received += String(chunk);
    return received;
  })();
  await expect.poll(() => received, WAIT).toMatch(/\r\n0\r\n\r\n$/);
  socket.write(`${head('/tasks', 'application/json', 100)}{`);
  expect(await rest).toMatch(/\r\n0\r\n\r\nHTTP\/1.1 408 /);
});

it(
  'arrays that nobody waits for any more keep their room until they are stored',
  { timeout: 30_000 },
  async () => {
    const { port, store } = await start();
    const rarely = { ...WAIT, interval: 500 };
    const commit = store.holdCommits();
    const body = JSON.stringify(Array.from({ length: 10_000 }, () => ({ name: 'x' })));
    const post = (signal?: AbortSignal) =>
      fetch(`http://127.0.0.1:${port}/tasks/batch`, {
        ...{ method: 'POST', body, headers: { 'content-type': 'application/json' } },
        ...(signal && { signal }),
      });
    const abandon = new AbortController();
    const abandoned = Array.from({ length: 6 }, () => post(abandon.signal).catch(() => 'abandoned'));
    await expect.poll(() => store.inserts.length, WAIT).toBe(API_LIMITS.bulkWriters);
    await expect.poll(async () => (await post()).status, rarely).toBe(503);
    abandon.abort();
    expect(await Promise.all(abandoned)).toEqual(Array(6).fill('abandoned'));
    const refused = await post();
    expect([refused.status, await refused.json()]).toMatchObject([503, { type: '/problems/overloaded' }]);
    commit();
    await expect.poll(async () => (await post()).status, rarely).toBe(201);
  },
);
