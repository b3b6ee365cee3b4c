import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectProblem, startApp } from './testing/start-app.ts';

describe('POST /tasks', () => {
  it('answers 201 with the task and where it is', async () => {
    const { post } = startApp();
    const response = await post({
      name: 'MyDistributedTask',
      scheduledTime: '2030-12-31T23:59:59+01:00',
      payload: { deep: [1, 'two', null] },
      key: 'customer-7',
    });
    expect(response.statusCode).toBe(201);
    expect(response.headers.location).toBe('/tasks/1');
    expect(response.json()).toEqual({
      id: 1,
      eventName: 'MyDistributedTask',
      status: 'PENDING',
      partitionId: 1,
      scheduledTime: '2030-12-31T22:59:59.000Z',
      payload: { deep: [1, 'two', null] },
      key: 'customer-7',
      attempt: 0,
      createdAt: '1970-01-01T00:00:01.000Z',
    });
  });

  it('needs a name only: due now, by the clock of the database, no payload, no key', async () => {
    const { post } = startApp();
    expect((await post({ name: 'x' })).json()).toMatchObject({
      scheduledTime: '1970-01-01T00:00:01.000Z',
      payload: null,
      key: null,
    });
  });

  it('stores names and keys of up to 200 characters, counted as a person would', async () => {
    const { post } = startApp();
    const response = await post({ name: '😀'.repeat(200), key: 'ö'.repeat(200) });
    expect(response.json()).toMatchObject({ eventName: '😀'.repeat(200), key: 'ö'.repeat(200) });
  });

  it('takes tasks of a key that are to run one at a time, and says so of them', async () => {
    const { post, api } = startApp();
    const shown = async (body: object) =>
      (await api.inject((await post(body)).headers.location ?? '')).json<{ serial: unknown }>().serial;
    expect(await shown({ name: 'x', key: 'k', serial: true })).toBe(true);
    expect(await shown({ name: 'x', key: 'k', serial: false })).toBe(false);
    expect(await shown({ name: 'x', serial: false })).toBe(false);
    expect(await shown({ name: 'x' })).toBe(false);
  });

  const notJson: [string, string | Buffer][] = [
    ['broken', '{'],
    ['a trailing comma', '{"name":"x",}'],
    ['two values', '{"name":"x"}{}'],
    ['not a number of JSON', '{"name":"x","payload":NaN}'],
    ['a raw control character', '{"name":"x\u0000"}'],
    ['100,000 brackets', '['.repeat(100_000)],
    ['not UTF-8', Buffer.from('{"name":"\xff"}', 'latin1')],
  ];
  it.each(notJson)('refuses a body that is no JSON: %s', async (_, body) => {
    const { post, store } = startApp();
    const detail = Buffer.isBuffer(body) ? 'is not UTF-8' : 'is not valid JSON';
    expectProblem(await post(body), 'invalid-json', 400, [{ pointer: '', detail }]);
    expect(store.inserts).toEqual([]);
  });

  const nameOf = (name: string) => JSON.stringify({ name });
  it.each([
    ['null', '', 'must be an object'],
    ['[]', '', 'must be an object'],
    ['"x"', '', 'must be an object'],
    ['', '', 'must be an object'],
    ['{}', '/name', 'is required'],
    [nameOf(''), '/name', 'must be a string of 1 to 200 characters'],
    [nameOf('x'.repeat(201)), '/name', 'must be a string of 1 to 200 characters'],
    [nameOf('😀'.repeat(201)), '/name', 'must be a string of 1 to 200 characters'],
    [nameOf('x\0'), '/name', 'must not contain the character NUL'],
    [nameOf('\ud800'), '/name', 'must not contain half of a surrogate pair'],
    ['{"name":1}', '/name', 'must be a string of 1 to 200 characters'],
    ['{"name":null}', '/name', 'must be a string of 1 to 200 characters'],
    ['{"name":["x"]}', '/name', 'must be a string of 1 to 200 characters'],
    ['{"name":"x","nope":1}', '/nope', 'is not a known field'],
    ['{"name":"x","id":7}', '/id', 'is not a known field'],
    ['{"name":"x","a/b~c":1}', '/a~1b~0c', 'is not a known field'],
    ['{"name":"x","__proto__":{"key":"y"}}', '/__proto__', 'is not a known field'],
    [
      '{"name":"x","payload":{"__proto__":{}}}',
      '/payload/__proto__',
      'the name of this member must not be named __proto__',
    ],
    ['{"name":"x","tags":["a","b","a"]}', '/tags', 'must be an array of at most 16 strings that differ'],
    ['{"name":"x","backoff":{"base":1}}', '/backoff/base', 'is not a known field'],
    [
      '{"name":"x","scheduledTime":1704067199}',
      '/scheduledTime',
      'must be an RFC 3339 time such as 2030-12-31T23:59:59Z',
    ],
    [
      '{"name":"x","scheduledTime":null}',
      '/scheduledTime',
      'must be an RFC 3339 time such as 2030-12-31T23:59:59Z',
    ],
    ['{"name":"x","scheduledTime":"2023-02-31T00:00:00"}', '/scheduledTime', 'is a date that does not exist'],
    ['{"name":"x","key":7}', '/key', 'must be a string of 1 to 200 characters'],
    ['{"name":"x","key":""}', '/key', 'must be a string of 1 to 200 characters'],
    ['{"name":"x","serial":true}', '/serial', 'needs a key'],
    ['{"name":"x","key":"k","serial":"yes"}', '/serial', 'must be true or false'],
    ['{"name":"x","payload":{"a":["\\u0000"]}}', '/payload/a/0', 'must not contain the character NUL'],
    ['{"name":"x","payload":1e400}', '/payload', 'must be a number that fits a double'],
  ])('refuses the task %.60s', async (body, pointer, detail) => {
    const { post, store } = startApp();
    expectProblem(await post(body), 'invalid-task', 400, [{ pointer, detail }]);
    expect(store.inserts).toEqual([]);
  });

  it('refuses a payload nested 100,000 deep', async () => {
    const { post } = startApp();
    const response = await post(`{"name":"x","payload":${'['.repeat(100_000)}${']'.repeat(100_000)}}`);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toMatchObject({ type: '/problems/invalid-task' });
  });

  it('names everything that is wrong', async () => {
    const { post } = startApp();
    expectProblem(await post({ name: '', scheduledTime: 'soon', nope: 1 }), 'invalid-task', 400, [
      { pointer: '/nope', detail: 'is not a known field' },
      { pointer: '/name', detail: 'must be a string of 1 to 200 characters' },
      {
        pointer: '/scheduledTime',
        detail: 'must be an RFC 3339 time such as 2030-12-31T23:59:59Z',
      },
    ]);
  });

  it('takes a payload of 256 KB and refuses one byte more', async () => {
    const { post, store } = startApp();
    const payload = (bytes: number) => 'x'.repeat(bytes - 2);
    expect((await post({ name: 'x', payload: payload(262_144) })).statusCode).toBe(201);
    expectProblem(await post({ name: 'x', payload: payload(262_145) }), 'payload-too-large', 413, [
      { pointer: '/payload', detail: 'is 262145 bytes of JSON, over the limit of 262144' },
    ]);
    expect(store.tasks.size).toBe(1);
  });

  it('measures a payload as compact JSON in UTF-8, however it was written', async () => {
    const { post } = startApp();
    const escaped = `{"name":"x","payload":"${'\\u00f6'.repeat(131_071)}"}`;
    expect((await post(escaped)).statusCode).toBe(201);
    expectProblem(await post({ name: 'x', payload: 'ö'.repeat(131_072) }), 'payload-too-large', 413, [
      { pointer: '/payload', detail: 'is 262146 bytes of JSON, over the limit of 262144' },
    ]);
  });

  it('refuses a body beyond any task', async () => {
    const { post } = startApp();
    expectProblem(await post(' '.repeat(2_000_000)), 'payload-too-large', 413, [
      { pointer: '', detail: 'is over the limit of 1048576 bytes' },
    ]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'json', ';'])(
    'refuses the content type %s',
    async (contentType) => {
      const { post } = startApp();
      expectProblem(await post({ name: 'x' }, contentType), 'unsupported-media-type', 415);
    },
  );

  it.each(['application/json; charset=utf-8', 'Application/JSON'])(
    'takes the content type %s',
    async (type) => {
      const { post } = startApp();
      expect((await post({ name: 'x' }, type)).statusCode).toBe(201);
    },
  );

  it.each(['gzip', 'br', 'identity, gzip', 'x'])('refuses the content encoding %s', async (encoding) => {
    const { api, store } = startApp();
    const response = await api.inject({
      method: 'POST',
      url: '/tasks',
      headers: { 'content-type': 'application/json', 'content-encoding': encoding },
      // Compressed or not: what is announced counts.
      payload: encoding === 'gzip' ? gzipSync('{"name":"x"}') : '{"name":"x"}',
    });
    expectProblem(response, 'unsupported-content-encoding', 415);
    expect(response.headers['accept-encoding']).toBe('identity');
    expect(store.inserts).toEqual([]);
  });

  it('takes a body announced as not encoded', async () => {
    const { api } = startApp();
    const headers = { 'content-type': 'application/json', 'content-encoding': 'Identity' };
    const response = await api.inject({ method: 'POST', url: '/tasks', headers, payload: '{"name":"x"}' });
    expect(response.statusCode).toBe(201);
  });

  it('gives back any JSON it takes, and refuses the rest as bad input', { timeout: 60_000 }, async () => {
    const { post, api } = startApp();
    await fc.assert(
      fc.asyncProperty(fc.json({ stringUnit: 'binary' }), async (json) => {
        const response = await post(`{"name":"x","payload":${json}}`);
        if (response.statusCode !== 201) {
          expect(response.statusCode).toBe(400);
          expect(json).toMatch(/\\u0000|\\ud[89a-f]|__proto__/i);
          return;
        }
        const sent: unknown = JSON.parse(JSON.stringify(JSON.parse(json)));
        expect(response.json<{ payload: unknown }>().payload).toEqual(sent);
        const stored = await api.inject(response.headers.location ?? '');
        expect(stored.json<{ payload: unknown }>().payload).toEqual(sent);
      }),
      { numRuns: 100 },
    );
  });

  it('never answers junk with a fault of its own', { timeout: 60_000 }, async () => {
    const { post, log } = startApp();
    const member = fc.constantFrom('name', 'scheduledTime', 'payload', 'key', '__proto__', 'constructor');
    const junk = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      fc.dictionary(fc.oneof(member, fc.string()), fc.jsonValue()).map((body) => JSON.stringify(body)),
    );
    await fc.assert(
      fc.asyncProperty(junk, async (body) => {
        const { statusCode } = await post(body);
        expect(statusCode === 201 || (statusCode >= 400 && statusCode < 500)).toBe(true);
      }),
      { numRuns: 500 },
    );
    expect(log).toEqual([]);
  });
});
