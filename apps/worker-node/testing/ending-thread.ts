/** In a keeper's thread's place: ends without a word when told of leases, and as it should when told to finish. */
import { parentPort } from 'node:worker_threads';
import type { FromKeeper, ToKeeper } from '../keeper/messages.ts';

parentPort?.on('message', ({ type }: ToKeeper) => {
  if (type === 'inUse') process.exit(0);
  if (type === 'finish') parentPort?.postMessage({ type: 'finished' } satisfies FromKeeper);
});
