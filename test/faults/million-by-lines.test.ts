import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapDatabase } from '../../libs/db/bootstrap.ts';
import { withConnection } from '../../libs/db/client.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import type { TestDatabase } from '../../libs/testing/postgres.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import { AppUnderTest } from '../e2e/app-under-test.ts';

const TASKS = 1_000_000;
const MOST_BYTES = 200 * 1024 * 1024;
/** How many outcomes lie between two looks at the API's memory. */
const SAMPLE = 10_000;

describe('a million tasks in one request', () => {
  let database: TestDatabase;
  let api: AppUnderTest;
  let origin = '';
  beforeAll(async () => {
    database = await createTestDatabase();
    await bootstrapDatabase({ url: database.url, uid: 'a-cluster', partitions: 64 });
    api = new AppUnderTest('api', 'scheduler-api', { DATABASE_URL: database.url, PORT: '0' });
    origin = await eventually(
      'the API listens',
      () => api.lines.flatMap(({ msg }) => /http:\/\/[\d.]+:\d+/.exec(msg)?.[0] ?? [])[0],
      { withinMs: 60_000 },
    );
  });
  afterAll(async () => {
    await api.kill();
    await database.drop();
  });

  /** What of its memory is in use. */
  async function residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${api.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }

  it('are all stored, each with an outcome in order, and take the API no memory to speak of', async () => {
    const idle = await residentBytes();
    const client = request(`${origin}/tasks/batch`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
    });
    function* body() {
      for (let n = 0; n < TASKS; n += 1_000)
        yield Array.from(
          { length: 1_000 },
          (_, i) => `${JSON.stringify({ name: 'one of many', payload: { n: n + i } })}\n`,
        ).join('');
    }
    const answered = once(client, 'response') as Promise<[IncomingMessage]>;
    const sent = pipeline(Readable.from(body()), client);
    const [response] = await answered;
    const resident: number[] = [];
    let outcomes = 0;
    let rest = '';
    for await (const chunk of response.setEncoding('utf8')) {
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        outcomes += 1;
        if (!line.startsWith(`{"line":${outcomes},"id":`))
          expect(line).toBe(`the outcome of line ${outcomes}`);
      }
      if (outcomes >= (resident.length + 1) * SAMPLE) resident.push(await residentBytes());
    }
    await sent;
    expect(outcomes).toBe(TASKS);
    const { rows } = await withConnection(database.url, (db) =>
      db.query('SELECT count(*)::integer AS count FROM task'),
    );
    expect(rows).toEqual([{ count: TASKS }]);
    // A chunk's outcomes are fewer than a sample's.
    expect(resident).toHaveLength(TASKS / SAMPLE);
    const most = Math.max(...resident);
    expect(most).toBeGreaterThan(0);
    console.log(
      `${Math.round((most - idle) / 1024 / 1024)} MB over ${Math.round(idle / 1024 / 1024)} MB at rest`,
    );
    expect(most - idle).toBeLessThan(MOST_BYTES);
  });
});
