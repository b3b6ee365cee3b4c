/** Bodies as large as may be, of as many faults as fit: none takes the API much longer than to parse it. */
import { expect, it } from 'vitest';
import { startApp } from './testing/start-app.ts';

const MIB = 1024 * 1024;
/** Of a body at its limit, the fault of which stands before a million others. */
const MOST_MS = 5_000;

/** `count` members, of 13 bytes each and its comma. */
const membersOf = (count: number) =>
  Array.from({ length: count }, (_, n) => `"m${String(n).padStart(8, '0')}":0`).join();

async function answer(url: string, payload: string, method: 'POST' | 'PATCH' = 'POST') {
  const { api } = startApp();
  const startedMs = performance.now();
  const response = await api.inject({
    ...{ method, url, payload },
    headers: { 'content-type': 'application/json' },
  });
  const tookMs = performance.now() - startedMs;
  const { errors = [] } = response.json<{ errors?: { pointer: string; detail: string }[] }>();
  return { status: response.statusCode, errors, tookMs, bytes: response.body.length };
}

it.each([
  ['equal numbers', '0'],
  ['equal strings', '"a"'],
  ['lists', '[]'],
])('1 MiB of tags that are %s', async (_, tag) => {
  const tags = `[${Array.from({ length: MIB / (tag.length + 1) - 20 }, () => tag).join()}]`;
  for (const url of ['/tasks', '/tasks/batch']) {
    const task = `{"name":"x","tags":${tags}}`;
    const { status, errors, tookMs } = await answer(url, url === '/tasks' ? task : `[${task}]`);
    expect([status, errors.length <= 20, errors[0]?.pointer]).toEqual([
      400,
      true,
      expect.stringMatching(/^(\/0)?\/tags/) as string,
    ]);
    expect(tookMs).toBeLessThan(MOST_MS);
  }
});

it.each([
  ['a task', (members: string) => `{"name":"x",${members}}`, ''],
  ['its backoff', (members: string) => `{"name":"x","backoff":{${members}}}`, '/backoff'],
])(
  'unknown members by the hundred thousand, of %s',
  async (_, task, pointer) => {
    const named = (url: string) => `${url === '/tasks/batch' ? '/0' : ''}${pointer}/m00000000`;
    for (const url of ['/tasks', '/jobs']) {
      const { status, errors, tookMs } = await answer(url, task(membersOf(74_000)));
      expect([status, errors.length]).toEqual([400, 20]);
      expect(errors).toContainEqual({ pointer: named(url), detail: 'is not a known field' });
      expect(tookMs).toBeLessThan(MOST_MS);
    }
    const patched = await answer('/tasks/1', `{${membersOf(74_000)}}`, 'PATCH');
    expect([patched.status, patched.errors.length, patched.tookMs < MOST_MS]).toEqual([400, 20, true]);

    const body = `[${task(membersOf(400_000))}]`;
    const beganMs = performance.now();
    JSON.parse(body);
    const parsingMs = performance.now() - beganMs;
    const { status, errors, tookMs } = await answer('/tasks/batch', body);
    expect([status, errors.length]).toEqual([400, 20]);
    expect(errors).toContainEqual({ pointer: named('/tasks/batch'), detail: 'is not a known field' });
    // They are parsed, and counted.
    expect(tookMs).toBeLessThan(6 * parsingMs + MOST_MS);
  },
  60_000,
);

it('names of a MiB are not all given back', async () => {
  const long = '~'.repeat(MIB);
  const deep = Array.from({ length: 14 }).reduce<string>(
    (inner) => `{"${long}":${inner}}`,
    `[${Array.from({ length: 30 }, () => '"\\u0000"').join()}]`,
  );
  const unknown = Array.from({ length: 14 }, (_, n) => `{"name":"x","${n}${long}":0}`).join();
  for (const body of [`[{"name":"x","payload":${deep}}]`, `[${unknown}]`]) {
    const { status, bytes } = await answer('/tasks/batch', body);
    expect([status, bytes < MIB / 2]).toEqual([400, true]);
  }
});
