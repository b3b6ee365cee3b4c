import type { Clock } from '../../libs/core/clock.ts';

/** A reply that took longer may be of what is another's by now. */
const FRESH_REPLY_MS = 500;

/**
 * To be called when a statement is sent.
 * @returns tells, when its reply is read, whether it may be trusted to show whose the attempts are: a worker that was frozen
 * in between may have been overtaken. By both clocks, as a machine may sleep.
 */
export function freshReply(clock: Clock): () => boolean {
  const [sentAtMs, sentWallMs] = [clock.monotonicMs(), clock.wallMs()];
  return () => Math.max(clock.monotonicMs() - sentAtMs, clock.wallMs() - sentWallMs) < FRESH_REPLY_MS;
}
