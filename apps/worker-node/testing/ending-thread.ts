/** In a keeper's thread's place: ends without a word at the first beat, and as it should when told to finish. */
import { parentPort } from 'node:worker_threads';
import type { FromKeeper, ToKeeper } from '../keeper/messages.ts';

parentPort?.on('message', ({ type }: ToKeeper) => {
  if (type === 'beat') process.exit(0);
  if (type === 'finish') parentPort?.postMessage({ type: 'finished' } satisfies FromKeeper);
});
