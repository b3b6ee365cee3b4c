/**
 * Sends a request when it is time, as a webhook or a reminder does:
 * {"name": "call-url", "payload": {"url": "https://example.com/hook", "method": "POST", "body": {"id": 7}}}
 */
import { PermanentFailure, RetryLater, Type, defineHandler } from 'partitioned-task-scheduler/handlers';

const DEFAULT_RETRY_AFTER_S = 10;

export default defineHandler({
  name: 'call-url',
  payload: Type.Object({
    url: Type.String({ pattern: '^https?://' }),
    method: Type.Optional(Type.Union([Type.Literal('GET'), Type.Literal('POST'), Type.Literal('PUT')])),
    body: Type.Optional(Type.Unknown()),
  }),
  timeoutMs: 30_000,
  concurrency: 20,
  async run({ payload: { url, method = 'POST', body } }, { signal, log, idempotencyKey }) {
    const response = await fetch(url, {
      method,
      signal,
      // The receiver can tell a second attempt from a second task.
      headers: { 'idempotency-key': idempotencyKey, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    await response.body?.cancel();
    log.info({ status: response.status }, 'Called');
    if (response.status === 429 || response.status === 503) {
      const seconds = Number(response.headers.get('retry-after') ?? DEFAULT_RETRY_AFTER_S);
      throw new RetryLater({ afterMs: 1_000 * (seconds >= 0 ? seconds : DEFAULT_RETRY_AFTER_S) });
    }
    if (response.status >= 400 && response.status < 500)
      throw new PermanentFailure(`${url} answered ${response.status}`);
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    return { status: response.status };
  },
});
