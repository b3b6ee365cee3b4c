import { sleep } from '../../libs/core/clock.ts';
import { AttemptAbortedError, PermanentFailure, RetryLater } from '../../libs/handlers/index.ts';
import type { Handler } from '../../apps/worker-node/handlers/handler.ts';
import type { HandlerEnd } from '../outcomes.ts';
import type { Safety } from '../safety.ts';
import type { WorkerProcess } from './worker-process.ts';

/** A task's payload: what its handler does. */
export interface Behaviour {
  /** Works for so long, or until it is told to stop. */
  readonly sleepMs: number;
  /** So many attempts fail. */
  readonly fail: number;
  /** Is deaf to its signal for so long before. */
  readonly stuckMs: number;
  /** So many attempts are to be made again later. */
  readonly later: number;
  /** What fails, fails for good. */
  readonly permanent: boolean;
  /** It never looks at its signal. */
  readonly heedless: boolean;
}

/** What {@link RetryLater} asks for. */
export const LATER_MS = 700;

/** The handler of all tasks, which tells `safety` what it does. */
export function simulatedHandler(process: WorkerProcess, safety: Safety): Handler {
  return {
    async run(payload, { id, attempt, signal, progress }) {
      const { sleepMs, fail, stuckMs, later, permanent, heedless } = payload as unknown as Behaviour;
      const { clock } = process.main;
      safety.handlerStarted(process, id, attempt);
      let end: HandlerEnd = 'threw';
      try {
        progress(0, `attempt ${attempt}`);
        if (stuckMs > 0) await sleep(clock, stuckMs);
        if (sleepMs > 0) await sleep(clock, sleepMs, heedless ? undefined : signal);
        progress(1);
        if (!heedless) signal.throwIfAborted();
        if (!heedless && attempt <= later) throw new RetryLater({ afterMs: LATER_MS });
        if (!heedless && attempt <= later + fail)
          throw permanent ? new PermanentFailure('as asked') : new Error('as asked');
        end = 'returned';
      } catch (error) {
        if (error instanceof RetryLater) end = 'later';
        if (error instanceof PermanentFailure) end = 'failed for good';
        if (signal.aborted) end = 'aborted';
        throw error;
      } finally {
        const { reason } = signal as { reason: unknown };
        const why = reason instanceof AttemptAbortedError ? reason.reason : undefined;
        safety.handlerEnded(id, attempt, end, why);
      }
    },
  };
}
