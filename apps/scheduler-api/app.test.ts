import { METHODS } from 'node:http';
import { describe, expect, it } from 'vitest';
import { StoreNotInitialisedError, StoreUnavailableError } from '../../libs/db/stores.ts';
import { expectProblem, startApp } from './testing/start-app.ts';

describe('GET and DELETE /tasks/:id', () => {
  it('shows what happened to a task', async () => {
    const { api, store, post } = startApp();
    await post({ name: 'x' });
    expect((await api.inject('/tasks/1')).json()).toEqual({
      ...(await post({ name: 'x' })).json<object>(),
      id: 1,
      partitionId: 1,
      startedAt: null,
      completedAt: null,
      workerId: null,
      leaseExpiresAt: null,
      ...{
        lastError: null,
        progress: null,
        result: null,
        timeoutMs: null,
        priority: 0,
        serial: false,
        tags: [],
        maxAttempts: 5,
      },
      backoff: { baseMs: 1_000, maxMs: 300_000, factor: 2 },
    });
    store.change(1, {
      status: 'RUNNING',
      attempt: 2,
      startedAtMs: 2_000,
      workerId: 'worker-1',
      leaseExpiresAtMs: 6_000,
      lastError: 'out of luck',
      progress: { done: 0.5, note: null },
    });
    expect((await api.inject('/tasks/1')).json()).toMatchObject({
      status: 'RUNNING',
      attempt: 2,
      startedAt: '1970-01-01T00:00:02.000Z',
      completedAt: null,
      workerId: 'worker-1',
      leaseExpiresAt: '1970-01-01T00:00:06.000Z',
      lastError: 'out of luck',
      progress: { done: 0.5, note: null },
    });
  });

  it('removes a task that is not running', async () => {
    const { api, post } = startApp();
    await post({ name: 'x' });
    const response = await api.inject({ method: 'DELETE', url: '/tasks/1' });
    expect(response.statusCode).toBe(204);
    expect(response.body).toBe('');
    expectProblem(await api.inject('/tasks/1'), 'task-not-found', 404);
    expectProblem(await api.inject({ method: 'DELETE', url: '/tasks/1' }), 'task-not-found', 404);
  });

  it('asks a running task to end', async () => {
    const { api, store, post } = startApp();
    await post({ name: 'x' });
    store.change(1, { status: 'RUNNING' });
    const response = await api.inject({ method: 'DELETE', url: '/tasks/1' });
    expect(response.statusCode).toBe(202);
    expect(response.json()).toEqual({ id: 1, cancelRequested: true });
  });

  it('takes a DELETE that announces JSON and sends none, as many clients do', async () => {
    const { api, post } = startApp();
    await post({ name: 'x' });
    const headers = { 'content-type': 'application/json' };
    expect((await api.inject({ method: 'DELETE', url: '/tasks/1', headers })).statusCode).toBe(204);
  });

  const refusedIds = ['x', '1.5', '-1', '+1', '01', '1e3', '0x1', '%20', '%00', '١', 'NaN'];
  it.each([...refusedIds, '9007199254740992', '9007199254740993', '9'.repeat(5_000)])(
    'refuses the id %.30s',
    async (id) => {
      const { api } = startApp();
      for (const method of ['GET', 'DELETE'] as const) {
        expectProblem(await api.inject({ method, url: `/tasks/${id}` }), 'invalid-task-id', 400, [
          { pointer: '/id', detail: 'must be a whole number below 2^53' },
        ]);
      }
    },
  );

  it.each(['0', '7', '9007199254740991'])('knows no task %s', async (id) => {
    const { api } = startApp();
    expectProblem(await api.inject(`/tasks/${id}`), 'task-not-found', 404);
  });
});

describe('GET /cluster', () => {
  it('shows partitions and workers as the database knows them', async () => {
    const { api } = startApp();
    expect((await api.inject('/cluster')).json()).toEqual({
      partitions: [
        { id: 0, owner: 'worker-1', epoch: 3 },
        { id: 1, owner: null, epoch: 0 },
      ],
      workers: [{ id: 'worker-1', alive: true, partitions: [0], leaseExpiresAt: '1970-01-01T00:00:04.000Z' }],
    });
  });
});

describe('what has no route', () => {
  const allowed: [string, string[]][] = [
    ['/tasks', ['POST', 'OPTIONS']],
    ['/tasks/1', ['DELETE', 'GET', 'HEAD', 'PATCH', 'OPTIONS']],
    ['/tasks/1/attempts', ['GET', 'HEAD', 'OPTIONS']],
    ['/tasks/1/cancel', ['POST', 'OPTIONS']],
    ['/tasks/1/retry', ['POST', 'OPTIONS']],
    ['/tasks/1/run', ['POST', 'OPTIONS']],
    ['/cluster', ['GET', 'HEAD', 'OPTIONS']],
    ['/healthz', ['GET', 'HEAD', 'OPTIONS']],
    ['/readyz', ['GET', 'HEAD', 'OPTIONS']],
  ];
  it.each(allowed)('%s has the methods %s and no others', async (url, methods) => {
    const { api } = startApp();
    for (const method of METHODS.filter((name) => !methods.includes(name) && name !== 'CONNECT')) {
      const response = await api.inject({ method: method as 'PUT', url, payload: '{' });
      if (method === 'HEAD') expect(response.statusCode).toBe(405);
      else expectProblem(response, 'method-not-allowed', 405);
      expect(response.headers.allow).toBe(methods.join(', '));
    }
    const options = await api.inject({ method: 'OPTIONS', url });
    expect(options.statusCode).toBe(204);
    expect(options.headers.allow).toBe(methods.join(', '));
  });

  it.each(['/', '/task', '/tasks/1/2', '/TASKS', '/..%2f', '//', '/favicon.ico', '*'])(
    '%s is nowhere, whatever is sent to it',
    async (url) => {
      const { api } = startApp();
      expectProblem(await api.inject({ method: 'GET', url }), 'not-found', 404);
      expectProblem(
        await api.inject({
          method: 'POST',
          url,
          headers: { 'content-type': 'application/json' },
          payload: '{',
        }),
        'not-found',
        404,
      );
    },
  );

  it.each(['/%', '/tasks/%zz', '/tasks/%ff'])('%s is no percent-encoding', async (url) => {
    const { api } = startApp();
    expectProblem(await api.inject(url), 'malformed-request', 400);
  });

  it.each(['/', '//'])('ends alike with and without %s', async (slashes) => {
    const { api, store } = startApp();
    const submitted = await api.inject({ method: 'POST', url: `/tasks${slashes}`, payload: { name: 'x' } });
    expect(submitted.statusCode).toBe(201);
    expect(submitted.headers.location).toBe('/tasks/1');
    for (const url of ['/cluster', '/healthz', '/readyz', '/tasks/1']) {
      expect((await api.inject(url + slashes)).statusCode, url).toBe(200);
    }
    // No task has an empty id.
    for (const method of ['GET', 'DELETE'] as const) {
      const response = await api.inject({ method, url: `/tasks${slashes}` });
      expectProblem(response, 'method-not-allowed', 405);
      expect(response.headers.allow).toBe('POST, OPTIONS');
    }
    expect((await api.inject({ method: 'DELETE', url: `/tasks/1${slashes}` })).statusCode).toBe(204);
    expect(store.tasks.size).toBe(0);
  });

  it('answers HEAD as GET, without the body', async () => {
    const { api } = startApp();
    const response = await api.inject({ method: 'HEAD', url: '/tasks/7' });
    expect(response.statusCode).toBe(404);
    expect(response.body).toBe('');
  });
});

describe('faults behind the API', () => {
  it('answers 503 with Retry-After while the database is away, alive all the while', async () => {
    const { api, store, post } = startApp();
    expect((await api.inject('/readyz')).json()).toEqual({ status: 'ready' });
    store.fault = new StoreUnavailableError('connection to 10.0.0.7 refused');
    const answers = [
      await post({ name: 'x' }),
      await api.inject('/tasks/1'),
      await api.inject({ method: 'DELETE', url: '/tasks/1' }),
      await api.inject('/cluster'),
      await api.inject('/readyz'),
    ];
    for (const answer of answers) {
      expectProblem(answer, 'database-unavailable', 503);
      expect(answer.headers['retry-after']).toBe('1');
    }
    expect((await api.inject('/healthz')).json()).toEqual({ status: 'ok' });
  });

  it('says that cluster-init is missing', async () => {
    const { api, store, post } = startApp();
    store.fault = new StoreNotInitialisedError('no schema');
    for (const answer of [await post({ name: 'x' }), await api.inject('/readyz')]) {
      expectProblem(answer, 'not-initialised', 503);
      expect(answer.headers['retry-after']).toBe('1');
    }
  });

  it('answers 503 with Retry-After when too much waits to be written', async () => {
    const { store, post } = startApp({ queueTasks: 1 });
    const commit = store.holdCommits();
    const first = post({ name: 'first' });
    await expect.poll(() => store.inserts.length, { timeout: 10_000 }).toBe(1);
    const [second, third] = [post({ name: 'second' }), post({ name: 'third' })];
    const refused = await Promise.race([second, third]);
    expectProblem(refused, 'overloaded', 503);
    expect(refused.headers['retry-after']).toBe('1');
    commit();
    expect((await Promise.all([first, second, third])).map(({ statusCode }) => statusCode).sort()).toEqual([
      201, 201, 503,
    ]);
  });

  it('answers 503 when the database hangs', async () => {
    const { store, post, log } = startApp({ handlerTimeoutMs: 50 });
    const commit = store.holdCommits();
    const answer = await post({ name: 'x' });
    expectProblem(answer, 'timeout', 503);
    expect(answer.headers['retry-after']).toBe('1');
    commit();
    expect(log).toEqual([]);
  });

  it('refuses as bad input what only the database refuses, and not its neighbours', async () => {
    const { store, post } = startApp();
    store.poison = 'poisoned';
    const [good, bad] = await Promise.all([post({ name: 'good' }), post({ name: 'poisoned' })]);
    expect(good.statusCode).toBe(201);
    expectProblem(bad, 'invalid-task', 400, [{ pointer: '', detail: 'holds a value that cannot be stored' }]);
  });

  it('hides a fault of its own from the caller, and payloads from the log', async () => {
    const { api, store, log } = startApp();
    store.fault = Object.assign(
      new Error('insert into task values (hunter2)', { cause: new Error('hunter2') }),
      {
        code: '42P01',
      },
    );
    const answer = await api.inject('/tasks/1');
    expectProblem(answer, 'internal', 500);
    expect(answer.body).not.toContain('hunter2');
    expect(log).toHaveLength(1);
    expect(log[0]).not.toContain('hunter2');
    expect(JSON.parse(log[0] ?? '')).toMatchObject({
      msg: 'a request failed',
      route: '/tasks/:id',
      fault: [{ name: 'Error', code: '42P01' }, { name: 'Error' }],
    });
  });

  it.each<[string, Error, string]>([
    [
      'away',
      new StoreUnavailableError('gone'),
      'the database cannot be reached: answering 503 until it is back',
    ],
    ['a fault of ours', new Error('bug'), 'a request failed after it was answered'],
  ])('logs what the database says once nobody waits for it any more: %s', async (_, fault, said) => {
    const { store, post, log } = startApp({ handlerTimeoutMs: 50 });
    const fail = store.holdCommits();
    expectProblem(await post({ name: 'x' }), 'timeout', 503);
    store.fault = fault;
    fail();
    await expect.poll(() => log.map((line) => (JSON.parse(line) as { msg: string }).msg)).toContain(said);
  });

  it('logs no requests at info', async () => {
    const { api, post, log } = startApp();
    await post({ name: 'x' });
    await post('{');
    await api.inject('/nowhere');
    expect(log).toEqual([]);
  });
});
