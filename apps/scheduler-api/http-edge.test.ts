/** What only a real socket shows: requests that are no HTTP, connections that stay open, a stop under way. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../libs/testing/manual-clock.ts';
import { buildApp } from './app.ts';
import { DRAIN_LIMIT_MS } from './drain.ts';
import { MemoryTaskStore } from './testing/memory-task-store.ts';

async function start() {
  const store = new MemoryTaskStore();
  const clock = new ManualClock();
  const log: string[] = [];
  const api = buildApp({
    store,
    clock,
    logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
  });
  onTestFinished(() => api.close());
  const origin = await api.listen({ host: '127.0.0.1', port: 0 });
  const { port } = api.server.address() as AddressInfo;
  return { store, clock, log, api, origin, port };
}

/** Sends bytes and returns what comes back until the connection ends. */
async function exchange(port: number, ...parts: string[]): Promise<{ head: string; body: unknown }> {
  const socket = connect({ port, host: '127.0.0.1' });
  for (const part of parts) socket.write(part);
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
  return { head, body: body === '' ? undefined : JSON.parse(body) };
}

describe('bytes that are no request', () => {
  const post = 'POST /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n';
  const malformed = { status: 400, type: '/problems/malformed-request' };
  it.each([
    ['another protocol', ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'], malformed],
    ['an unknown method', ['BREW /tasks HTTP/1.1\r\nHost: x\r\n\r\n'], malformed],
    ['a broken header', ['GET /tasks/1 HTTP/1.1\r\nHost x\r\n\r\n'], malformed],
    ['no Host', ['GET /tasks/1 HTTP/1.1\r\nConnection: close\r\n\r\n'], malformed],
    ['two lengths', [`${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`], malformed],
    ['a length that is no number', [`${post}Content-Length: many\r\n\r\n{}`], malformed],
    ['a broken chunk', [`${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`], malformed],
    [
      'headers without end',
      [`GET /tasks/1 HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`],
      { status: 431, type: '/problems/headers-too-large' },
    ],
    [
      'a path without end',
      [`GET /tasks/${'1'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
      { status: 431, type: '/problems/headers-too-large' },
    ],
    [
      'an expectation',
      [`${post}Expect: the-unexpected\r\nContent-Length: 0\r\n\r\n`],
      { status: 417, type: '/problems/expectation-failed' },
    ],
    [
      'a body announced as larger than any task',
      [`${post}Content-Length: 99999999999\r\n\r\n`],
      { status: 413, type: '/problems/payload-too-large' },
    ],
    [
      'an absolute URL elsewhere',
      ['GET http://example.com/nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
      { status: 404, type: '/problems/not-found' },
    ],
  ])('%s', async (_, parts, { status, type }) => {
    const { port, store, log } = await start();
    const { head, body } = await exchange(port, ...parts);
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toMatch(/^content-type: application\/problem\+json$/im);
    expect(body).toMatchObject({ type, status });
    expect(store.inserts).toEqual([]);
    expect(log).toEqual([]);
  });

  it('a client that hangs up in the middle of its body leaves no trace', async () => {
    const { port, store, log, api } = await start();
    const socket = connect({ port, host: '127.0.0.1' });
    socket.write(`${post}Content-Length: 100\r\n\r\n{"name":`);
    const [accepted] = (await once(api.server, 'request')) as [{ socket: NodeJS.EventEmitter }];
    const gone = once(accepted.socket, 'close');
    socket.destroy();
    await gone;
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    expect(store.inserts).toEqual([]);
    expect(log).toEqual([]);
  });
});

describe('closing', () => {
  /** Posts over `agent` and resolves with the status once the answer is complete. */
  async function post(port: number, agent: Agent, name: string) {
    const sent = request({ port, host: '127.0.0.1', path: '/tasks', method: 'POST', agent });
    sent.setHeader('content-type', 'application/json').end(JSON.stringify({ name }));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    await text(response);
    return { status: response.statusCode, connection: response.headers.connection };
  }

  it('finishes what is in flight, ends its kept-alive connection, and accepts no other', async () => {
    const { port, store, api } = await start();
    const agent = new Agent({ keepAlive: true });
    const commit = store.holdCommits();
    const inFlight = post(port, agent, 'in-flight');
    await expect.poll(() => store.inserts, { timeout: 10_000 }).toEqual([['in-flight']]);
    const closed = api.close();
    await expect.poll(() => api.server.listening, { timeout: 10_000 }).toBe(false);
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow('fetch failed');
    commit();
    expect(await inFlight).toEqual({ status: 201, connection: 'close' });
    await closed;
    expect(store.tasks.size).toBe(1);
    agent.destroy();
  });

  it('does not wait for idle connections', async () => {
    const { port, api } = await start();
    const agent = new Agent({ keepAlive: true });
    expect(await post(port, agent, 'x')).toEqual({ status: 201, connection: 'keep-alive' });
    await api.close();
    agent.destroy();
  });

  it('cuts a client that never finishes its request, in bounded time', async () => {
    const { port, api, clock, log } = await start();
    const socket = connect({ port, host: '127.0.0.1' });
    socket.write(
      'POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    );
    await once(api.server, 'request');
    const cut = text(socket).catch(() => 'reset');
    const closed = api.close();
    await expect.poll(() => clock.pending, { timeout: 10_000 }).toBe(1);
    await clock.advance(DRAIN_LIMIT_MS);
    await closed;
    await cut;
    expect(log.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      'cutting the connections still open after 20 s',
    ]);
  });
});
