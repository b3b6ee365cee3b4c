/** Thousands of requests in each of which something is wrong, to every route there is: none is a fault of ours, none changes anything. */
import { Agent, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type pg from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { drawMalformed, routesOf } from './testing/malformed-requests.ts';
import type { MalformedRequest, Route } from './testing/malformed-requests.ts';
import { bootstrap, connectBeside, startApi } from './testing/postgres-api.ts';

/** MALFORMED_REQUESTS=from-to sends others, and more. */
const [FROM, TO] = (process.env['MALFORMED_REQUESTS'] ?? '1-10000').split('-').map(Number) as [
  number,
  number,
];
const AT_ONCE = 16;
const SAMPLE = 1_000;
/** From the first half to the second, of what each needs at least: 256 bytes for each of 5,000 requests. */
const MOST_GROWN_BYTES = 5_000 * 256;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: Buffer;
}

async function send(
  port: number,
  agent: Agent,
  { method, path, headers, body }: MalformedRequest,
): Promise<Answer> {
  // The path as it is: Node escapes nothing, and refuses what no request line could hold.
  const sent = request({
    port,
    host: '127.0.0.1',
    method,
    path: encodeURI(path).replaceAll('%25', '%'),
    headers,
    agent,
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) =>
    sent.on('response', resolve).on('error', reject),
  );
  sent.end(body);
  const response = await answered;
  const received = await buffer(response);
  return { status: response.statusCode ?? 0, type: response.headers['content-type'], body: received };
}

/** How many rows each table has, and what is in the one task. */
async function contents(beside: pg.Client): Promise<Record<string, unknown>> {
  const { rows } = await beside.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1`,
  );
  const counts: Record<string, unknown> = {};
  for (const { name } of rows)
    counts[name] = (await beside.query<{ n: number }>(`SELECT count(*)::integer AS n FROM "${name}"`)).rows[0]
      ?.n;
  return { ...counts, tasks: (await beside.query<Record<string, unknown>>('SELECT * FROM task')).rows };
}

/** Of the heap, and of the buffers beside it. */
async function usedBytes(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** That none of the lines of an answer was stored, nor is a fault of ours. */
const areRefused = (lines: string): boolean =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { id?: number; error?: { status: number } })
    .every(({ id, error }) => id === undefined && error !== undefined && error.status < 500);

it(
  `refuses ${TO - FROM + 1} malformed requests, stores nothing and forgets them`,
  { timeout: 180_000 },
  async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    await bootstrap(database.url);
    const { api, origin, post, messages } = await startApi(database.url);
    const beside = await connectBeside(database.url);
    const port = Number(new URL(origin).port);
    const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
    onTestFinished(() => agent.destroy());

    const { id: kept } = (await (await post({ name: 'kept', delay: 'P1D', payload: 'kept' })).json()) as {
      id: number;
    };
    const routes = await Promise.all(
      routesOf(api.printRoutes({ commonPrefix: false })).map(
        async ({ path, methods: answered }): Promise<Route> => {
          const allow = (await fetch(`${origin}${path}`, { method: 'OPTIONS' })).headers.get('allow');
          const methods = allow?.split(', ').filter((method) => method !== 'OPTIONS');
          return { path, methods: methods ?? answered };
        },
      ),
    );
    const paths = routes.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['/tasks', '/tasks/:id', '/tasks/:id/run', '/cluster']));
    const before = await contents(beside);

    const statuses = new Map<string, number>();
    const used: number[] = [];
    let next = FROM;
    const sendSome = async (until: number) => {
      while (next < until) {
        const seed = next++;
        const malformed = drawMalformed(seed, routes, kept);
        const { status, type, body } = await send(port, agent, malformed).catch((error: unknown) => {
          throw new Error(`request ${seed}: ${describe(malformed)}`, { cause: error });
        });
        const { route, method } = malformed;
        const what = `request ${seed}: ${describe(malformed)} was answered with ${status} ${body.toString().slice(0, 300)}`;
        const isRead = !['POST', 'PUT', 'PATCH', 'DELETE'].includes(method);
        const inLines = type?.startsWith('application/x-ndjson') === true;
        const isRefused = inLines ? areRefused(body.toString()) : status >= 400;
        if (status >= 500 || !(isRefused || isRead)) throw new Error(what);
        if (status >= 400 && method !== 'HEAD' && type !== 'application/problem+json')
          throw new Error(`${what}: ${type ?? ''}`);
        for (const key of [`${status}`, `${method} ${route.path}`])
          statuses.set(key, (statuses.get(key) ?? 0) + 1);
      }
    };
    for (let until = FROM + SAMPLE; next <= TO; until += SAMPLE) {
      const last = Math.min(until, TO + 1);
      await Promise.all(Array.from({ length: AT_ONCE }, () => sendSome(last)));
      used.push(await usedBytes());
    }

    expect(await contents(beside)).toEqual(before);
    expect(messages()).not.toContain('a request failed');
    const [first, second] = [used.slice(0, used.length >> 1), used.slice(used.length >> 1)];
    expect(Math.min(...second) - Math.min(...first)).toBeLessThan(MOST_GROWN_BYTES);
    // Each route was met by each of its methods, and refusals are of many kinds.
    const ofEach = routes.flatMap(({ path, methods }) => methods.map((method) => `${method} ${path}`));
    for (const key of [...ofEach, '400', '404', '405', '412', '413', '415'])
      expect(statuses.get(key) ?? 0, key).toBeGreaterThan((TO - FROM) / 1_000);
  },
);

function describe({ method, path, headers, body }: MalformedRequest): string {
  return `${method} ${path.slice(0, 200)} ${JSON.stringify(headers).slice(0, 500)} ${body?.toString().slice(0, 300) ?? ''}`;
}
