import { pino } from 'pino';
import { expect, onTestFinished } from 'vitest';
import { systemClock } from '../../../libs/runtime/system.ts';
import type { ApiLimits } from '../app.ts';
import { buildApp } from '../app.ts';
import { MemoryTaskStore } from './memory-task-store.ts';

/** The API over a store in memory, to be called by `inject`; closed when the test is over. */
export function startApp(limits: Partial<ApiLimits> = {}) {
  const store = new MemoryTaskStore();
  const log: string[] = [];
  const api = buildApp({
    store,
    clock: systemClock,
    logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
    limits,
  });
  onTestFinished(() => api.close());
  const post = (body: unknown, contentType = 'application/json') =>
    api.inject({
      method: 'POST',
      url: '/tasks',
      headers: { 'content-type': contentType },
      payload: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
    });
  return { store, api, log, post };
}

/** That a response is a problem of this kind, and exactly in the form promised. */
export function expectProblem(
  response: { statusCode: number; headers: Record<string, unknown>; body: string },
  code: string,
  status: number,
  errors?: readonly { pointer: string; detail: string }[],
): void {
  expect(response.statusCode).toBe(status);
  expect(response.headers['content-type']).toBe('application/problem+json');
  expect(JSON.parse(response.body)).toEqual({
    type: `/problems/${code}`,
    title: expect.any(String) as string,
    status,
    detail: expect.any(String) as string,
    ...(errors === undefined ? {} : { errors }),
  });
}
