import { request } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import type { TestDatabase } from '../../libs/testing/postgres.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import type { ApiLimits } from './app.ts';
import { bootstrap, connectBeside, isWaiting, startApi } from './testing/postgres-api.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await bootstrap(database.url);
});
afterAll(() => database.drop());

interface Outcome {
  readonly line?: number;
  readonly id?: number;
  readonly partitionId?: number;
  readonly scheduledTime?: string;
  readonly error?: { readonly type: string; readonly status: number; readonly errors?: unknown };
}

async function start(limits: Partial<ApiLimits> = {}) {
  const api = await startApi(database.url, limits);
  const beside = await connectBeside(database.url);
  const count = async (name: string) => {
    const { rows } = await beside.query<{ count: string }>('SELECT count(*) FROM task WHERE name = $1', [
      name,
    ]);
    return Number(rows[0]?.count);
  };
  const batch = (body: unknown, contentType = 'application/json') =>
    fetch(`${api.origin}/tasks/batch`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const lines = async (body: string) => {
    const response = await batch(body, 'application/x-ndjson; charset=utf-8');
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
    return parse(await response.text());
  };
  return { ...api, beside, count, batch, lines };
}

const parse = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Outcome);

describe('POST /tasks/batch with an array', () => {
  it('stores all of them and answers with each, in order', async () => {
    const { batch, get } = await start();
    const response = await batch([
      { name: 'first', payload: { a: 1 }, scheduledTime: '2030-01-01T00:00:00Z' },
      { name: 'second', key: 'k', tags: ['x', 'y'], priority: 2 },
    ]);
    expect(response.status).toBe(201);
    const [first, second] = (await response.json()) as { id: number }[];
    expect(first).toEqual({
      id: expect.any(Number) as number,
      partitionId: expect.any(Number) as number,
      scheduledTime: '2030-01-01T00:00:00.000Z',
    });
    expect(await (await get(`/tasks/${first?.id}`)).json()).toMatchObject({
      eventName: 'first',
      payload: { a: 1 },
    });
    expect(await (await get(`/tasks/${second?.id}`)).json()).toMatchObject({
      ...{ eventName: 'second', key: 'k', tags: ['x', 'y'], priority: 2 },
    });
  });

  it('of 10,000 is stored whole, and of one more not at all', async () => {
    const { batch, count } = await start();
    const tasks = (name: string, length: number) => Array.from({ length }, (_, n) => ({ name, payload: n }));
    const response = await batch(tasks('many', 10_000));
    expect(response.status).toBe(201);
    const ids = ((await response.json()) as { id: number }[]).map(({ id }) => id);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(await count('many')).toBe(10_000);
    expect((await batch(tasks('too many', 10_001))).status).toBe(400);
    expect(await count('too many')).toBe(0);
  });

  it('stores none where one is wrong, and says which and why', async () => {
    const { batch, count } = await start();
    const response = await batch([{ name: 'good' }, { name: '' }, { name: 'good', priority: 10 }, 7]);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      type: '/problems/invalid-task',
      errors: [
        { pointer: '/1/name', detail: 'must be a string of 1 to 200 characters' },
        { pointer: '/2/priority', detail: 'must be a whole number from 0 to 9' },
        { pointer: '/3', detail: 'must be an object' },
      ],
    });
    expect(await count('good')).toBe(0);
  });

  it.each(['[]', '{}', '"x"', '', 'null'])('that is %s is refused', async (body) => {
    const { batch } = await start();
    const response = await batch(body);
    expect([response.status, await response.json()]).toMatchObject([400, { type: '/problems/invalid-task' }]);
  });

  it('that is too large, or of which too many are under way, is refused before it is read', async () => {
    const { origin, batch } = await start();
    const tooLarge = await batch(JSON.stringify([{ name: 'x', payload: 'x'.repeat(17 * 1024 * 1024) }]));
    expect([tooLarge.status, await tooLarge.json()]).toMatchObject([
      413,
      { errors: [{ pointer: '', detail: 'is over the limit of 16777216 bytes' }] },
    ]);
    // Announced, and not sent: each keeps room for itself.
    const announced = await Promise.all(
      Array.from({ length: 4 }, () => open(origin, { 'content-length': 16 * 1024 * 1024 })),
    );
    await eventually(
      'there is no more room',
      async () => {
        const response = await batch([{ name: 'x' }]);
        return response.status === 503;
      },
      { withinMs: 5_000 },
    );
    for (const { client } of announced) client.destroy();
    await eventually('there is room again', async () => (await batch([{ name: 'x' }])).status === 201, {
      withinMs: 5_000,
    });
  });
});

/** A request whose body is sent by hand. */
async function open(origin: string, headers: Record<string, string | number> = {}) {
  const client: ClientRequest = request(`${origin}/tasks/batch`, {
    method: 'POST',
    headers: {
      'content-type': 'content-length' in headers ? 'application/json' : 'application/x-ndjson',
      ...headers,
    },
  });
  client.on('error', () => undefined);
  client.flushHeaders();
  await once(client, 'socket');
  const answered = once(client, 'response') as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  return { client, answered };
}

describe('POST /tasks/batch with lines', () => {
  it('answers with a line for each, of what was stored and of what is wrong with the others', async () => {
    const { lines, count } = await start();
    const outcomes = await lines(
      [
        '{"name":"line","payload":1}',
        '{"name":"line","priority":-1}',
        '',
        'no JSON',
        '{"name":"line","scheduledTime":"2030-01-01T00:00:00Z"}\r',
        '{"name":"line"}',
      ].join('\n'),
    );
    expect(outcomes.map(({ line, error }) => [line, error?.type])).toEqual([
      [1, undefined],
      [2, '/problems/invalid-task'],
      [4, '/problems/invalid-json'],
      [5, undefined],
      [6, undefined],
    ]);
    expect(outcomes[1]?.error?.errors).toEqual([
      { pointer: '/priority', detail: 'must be a whole number from 0 to 9' },
    ]);
    expect(outcomes[3]).toMatchObject({
      id: expect.any(Number) as number,
      scheduledTime: '2030-01-01T00:00:00.000Z',
    });
    expect(await count('line')).toBe(3);
  });

  it('answers each line as it comes, while the body is still being sent', async () => {
    const { origin } = await start();
    const { client, answered } = await open(origin);
    const outcomes: string[] = [];
    client.write('{"name":"one by one"}\n');
    const [response] = await answered;
    const ended = once(response, 'end');
    response.setEncoding('utf8').on('data', (text: string) => outcomes.push(text));
    const heard = (lines: number) =>
      eventually(`outcome ${lines}`, () => parse(outcomes.join('')).length === lines, { withinMs: 5_000 });
    await heard(1);
    client.write('{"name":"one by one"}\n{"name":');
    await heard(2);
    client.end('"one by one"}');
    await heard(3);
    await ended;
  });

  it('of any length goes on beyond the time that a request may take, as long as lines come', async () => {
    const { origin, count } = await start({ requestTimeoutMs: 400 });
    const { client, answered } = await open(origin);
    const beganMs = performance.now();
    let sent = 0;
    const send = () => {
      client.write('{"name":"slowly"}\n');
      sent += 1;
    };
    send();
    const [response] = await answered;
    const outcomes: unknown[] = [];
    // Each line is sent when the one before it has been answered.
    for await (const outcome of createInterface({ input: response })) {
      outcomes.push(JSON.parse(outcome));
      if (performance.now() - beganMs < 1_600) send();
      else client.end();
    }
    expect(outcomes).toHaveLength(sent);
    expect(await count('slowly')).toBe(sent);
  });

  it('ends, saying so, where no line comes any more', async () => {
    const { origin } = await start({ requestTimeoutMs: 300 });
    const { client, answered } = await open(origin);
    client.write('{"name":"then nothing"}\n');
    const [response] = await answered;
    const outcomes = parse(await text(response));
    expect(outcomes).toMatchObject([{ line: 1 }, { error: { type: '/problems/request-timeout' } }]);
    expect(outcomes[1]).not.toHaveProperty('line');
  });

  it('refuses a line that is too long, and goes on with the next', async () => {
    const { lines } = await start();
    const outcomes = await lines(`{"name":"${'x'.repeat(2 * 1024 * 1024)}"}\n{"name":"after"}\n`);
    expect(outcomes).toMatchObject([
      { line: 1, error: { type: '/problems/payload-too-large', status: 413 } },
      { line: 2, id: expect.any(Number) as number },
    ]);
  });

  it('stops reading while its outcomes are not read, and cuts off who never does', async () => {
    const { origin } = await start({ requestTimeoutMs: 2_000 });
    const { client, answered } = await open(origin);
    // Whose outcomes are longer than they are.
    const wrong = '{"name":1}\n'.repeat(1_000);
    let isTaken = true;
    while (isTaken) {
      if (client.write(wrong)) continue;
      isTaken = await once(client, 'drain', { signal: AbortSignal.timeout(1_000) }).then(
        () => true,
        () => false,
      );
    }
    if (!client.closed) await new Promise((resolve) => client.once('close', resolve));
    answered.catch(() => undefined);
  });

  it('says of each line that it was not stored while the database is away, and then goes on', async () => {
    const { origin, beside } = await start({ handlerTimeoutMs: 1_000 });
    const { client, answered } = await open(origin);
    client.write('{"name":"before"}\n');
    const [response] = await answered;
    const outcomes: string[] = [];
    response.setEncoding('utf8').on('data', (chunk: string) => outcomes.push(chunk));
    await eventually('the first', () => outcomes.length > 0, { withinMs: 5_000 });
    await beside.query('BEGIN; LOCK TABLE task IN ACCESS EXCLUSIVE MODE');
    client.write('{"name":"during"}\n');
    await eventually('it waits', () => isWaiting(beside, 'relation'), { withinMs: 5_000 });
    await beside.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'scheduler-api' AND datname = current_database()`,
    );
    await beside.query('ROLLBACK');
    await eventually('its outcome', () => parse(outcomes.join('')).length === 2, { withinMs: 5_000 });
    const ended = once(response, 'end');
    client.end('{"name":"after"}\n');
    await ended;
    expect(parse(outcomes.join(''))).toMatchObject([
      { line: 1, id: expect.any(Number) as number },
      { line: 2, error: { type: '/problems/database-unavailable', status: 503 } },
      { line: 3, id: expect.any(Number) as number },
    ]);
  });

  it('ends, saying so, when the API stops', async () => {
    const { origin, close } = await start();
    const { client, answered } = await open(origin);
    client.write('{"name":"last"}\n');
    const [response] = await answered;
    await once(response, 'readable');
    const closed = close();
    expect(parse(await text(response))).toMatchObject([
      { line: 1 },
      { error: { type: '/problems/overloaded' } },
    ]);
    await closed;
  });

  it('is no body for one task', async () => {
    const { origin } = await start();
    const response = await fetch(`${origin}/tasks`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '{"name":"x"}\n',
    });
    expect(response.status).toBe(415);
  });
});

async function text(response: IncomingMessage): Promise<string> {
  let all = '';
  for await (const chunk of response.setEncoding('utf8')) all += String(chunk);
  return all;
}

describe('POST /jobs', () => {
  it('is POST /tasks in other words', async () => {
    const { origin, get } = await start();
    const response = await fetch(`${origin}/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'send-mail', payload: { to: 'x' }, priority: 4, maxAttempts: 2 }),
    });
    expect(response.status).toBe(201);
    const location = response.headers.get('location') ?? '';
    expect(location).toMatch(/^\/tasks\/\d+$/);
    expect(await (await get(location)).json()).toMatchObject({
      ...{ eventName: 'send-mail', payload: { to: 'x' }, priority: 4, maxAttempts: 2 },
    });
  });
});
