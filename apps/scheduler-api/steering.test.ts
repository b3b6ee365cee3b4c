import { describe, expect, it } from 'vitest';
import type { TaskStatus } from '../../libs/core/task.ts';
import { expectProblem, startApp } from './testing/start-app.ts';

/** An API with one task, 1, of that status. */
async function withTask(status: TaskStatus) {
  const { api, store, post } = startApp();
  await post({ name: 'x', payload: 'as submitted' });
  store.change(1, { status });
  const patch = (payload: object, ifMatch?: string) =>
    api.inject({
      ...{ method: 'PATCH', url: '/tasks/1', payload },
      headers: ifMatch === undefined ? {} : { 'if-match': ifMatch },
    });
  return {
    api,
    store,
    patch,
    to: (what: string, id = 1) => api.inject({ method: 'POST', url: `/tasks/${id}/${what}` }),
  };
}

describe('POST /tasks/:id/cancel', () => {
  it('cancels a task that waits, and says what it is by now', async () => {
    const { to } = await withTask('PENDING');
    const answer = await to('cancel');
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ id: 1, status: 'CANCELLED' });
    expect((await to('cancel')).statusCode).toBe(200);
  });

  it('asks one that runs to end', async () => {
    const { to } = await withTask('RUNNING');
    const answer = await to('cancel');
    expect(answer.statusCode).toBe(202);
    expect(answer.json()).toEqual({ id: 1, cancelRequested: true });
  });

  it('refuses one that has ended, and one that is not there', async () => {
    const { to } = await withTask('COMPLETED');
    expectProblem(await to('cancel'), 'task-ended', 409);
    expectProblem(await to('cancel', 2), 'task-not-found', 404);
  });
});

describe('POST /tasks/:id/retry', () => {
  it.each(['FAILED', 'CANCELLED'] as const)('has a %s task wait again', async (status) => {
    const { to } = await withTask(status);
    const answer = await to('retry');
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ status: 'PENDING' });
  });

  it.each([
    ['RUNNING', 'task-running'],
    ['PENDING', 'task-waiting'],
    ['COMPLETED', 'task-ended'],
  ] as const)('refuses a %s one', async (status, problem) => {
    const { to } = await withTask(status);
    expectProblem(await to('retry'), problem, 409);
    expectProblem(await to('retry', 2), 'task-not-found', 404);
  });
});

describe('POST /tasks/:id/run', () => {
  it.each([
    ['PENDING', 200, undefined],
    ['RUNNING', 409, 'task-running'],
    ['COMPLETED', 409, 'task-ended'],
    ['FAILED', 409, 'task-ended'],
    ['CANCELLED', 409, 'task-ended'],
  ] as const)('of a %s task: %d', async (status, code, problem) => {
    const { to } = await withTask(status);
    const answer = await to('run');
    if (problem === undefined) expect(answer.statusCode).toBe(code);
    else expectProblem(answer, problem, code);
  });
});

describe('PATCH /tasks/:id', () => {
  it('changes a task that waits, and says its new version', async () => {
    const { api, patch } = await withTask('PENDING');
    expect((await api.inject('/tasks/1')).headers.etag).toBe('"0.0"');
    const answer = await patch({ payload: { changed: true } });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers.etag).toBe('"1.0"');
    expect(answer.json()).toMatchObject({ payload: { changed: true } });
  });

  it.each([
    ['"0.0"', 200],
    ['*', 200],
    ['"7.7", "0.0"', 200],
    ['"0.1"', 412],
    ['W/"0.0"', 412],
    ['0.0', 412],
    ['', 412],
  ])('where If-Match is %s: %d', async (ifMatch, code) => {
    const { api, patch } = await withTask('PENDING');
    const answer = await patch({ payload: 'changed' }, ifMatch);
    if (code === 200) expect(answer.statusCode).toBe(200);
    else expectProblem(answer, 'task-changed', code);
    const { payload } = (await api.inject('/tasks/1')).json<{ payload: unknown }>();
    expect(payload).toBe(code === 200 ? 'changed' : 'as submitted');
  });

  it('has another version while it runs than when that attempt has ended', async () => {
    const { api, store, patch } = await withTask('RUNNING');
    const versionAs = async (status: TaskStatus) => {
      store.change(1, { status, attempt: 1 });
      return (await api.inject('/tasks/1')).headers.etag as string;
    };
    const running = await versionAs('RUNNING');
    expect(running).toBe('"0.1+"');
    for (const status of ['COMPLETED', 'FAILED', 'CANCELLED', 'PENDING'] as const)
      expect(await versionAs(status)).toBe('"0.1"');
    expectProblem(await patch({ payload: 1 }, running), 'task-changed', 412);
    expect((await patch({ payload: 1 }, '"0.1"')).statusCode).toBe(200);
  });

  it.each([
    ['RUNNING', 'task-running'],
    ['COMPLETED', 'task-ended'],
    ['FAILED', 'task-ended'],
    ['CANCELLED', 'task-ended'],
  ] as const)('refuses a %s task', async (status, problem) => {
    const { patch } = await withTask(status);
    expectProblem(await patch({ payload: 1 }), problem, 409);
  });

  it.each<[object, string, string]>([
    [{}, '', 'must name something to change'],
    [{ name: 'y' }, '/name', 'is not a known field'],
    [{ key: 'y' }, '/key', 'is not a known field'],
    [{ priority: 10 }, '/priority', 'must be a whole number from 0 to 9'],
    [{ maxAttempts: 0 }, '/maxAttempts', 'must be a whole number from 1 to 100'],
    [{ delay: 'soon' }, '/delay', 'must be an ISO 8601 duration such as PT15M or P1DT12H'],
    [
      { delay: 'PT1S', scheduledTime: '2030-01-01T00:00:00Z' },
      '/delay',
      'must not be given together with scheduledTime',
    ],
    [{ payload: '\0' }, '/payload', 'must not contain the character NUL'],
  ])('refuses %j', async (change, pointer, detail) => {
    const { patch } = await withTask('PENDING');
    expectProblem(await patch(change), 'invalid-task', 400, [{ pointer, detail }]);
  });
});

describe('GET /tasks/:id/attempts', () => {
  it('lists them, and knows what is not there', async () => {
    const { api } = await withTask('PENDING');
    expect((await api.inject('/tasks/1/attempts')).json()).toEqual({ attempts: [] });
    expectProblem(await api.inject('/tasks/2/attempts'), 'task-not-found', 404);
  });
});
