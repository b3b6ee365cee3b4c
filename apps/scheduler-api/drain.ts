import type { Clock, Timer } from '../../libs/core/clock.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { Api } from './app.ts';

/** Longer than a handler may take: what is still open then is a client that does not send or does not read. */
export const DRAIN_LIMIT_MS = 20_000;

/**
 * Makes `api.close()` end: a connection closes with the answer it is waiting for, instead of being kept alive, and
 * whatever is open after {@link DRAIN_LIMIT_MS} is cut.
 */
export function drainOnClose(
  api: Api,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): void {
  let deadline: Timer | undefined;
  api.addHook('preClose', (done) => {
    deadline = clock.schedule(DRAIN_LIMIT_MS, () => {
      logger.warn(`cutting the connections still open after ${DRAIN_LIMIT_MS / 1_000} s`);
      api.server.closeAllConnections();
    });
    done();
  });
  api.addHook('onSend', (_request, reply, payload, done) => {
    if (deadline !== undefined) reply.header('connection', 'close');
    done(null, payload);
  });
  api.addHook('onClose', (_api, done) => {
    deadline?.cancel();
    done();
  });
}
