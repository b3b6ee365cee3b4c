/** A thread that runs one seed after the other. */
import { parentPort } from 'node:worker_threads';
import { invariant } from '../libs/core/invariant.ts';
import { runSeed } from './run.ts';
import type { SeedAnswer, SeedQuestion } from './seeds.ts';

const port = parentPort;
invariant(port !== null, 'runs as a worker thread');

// Errors are raised by the thousand, and nobody reads where: the story of a seed that fails is told by another run.
Error.stackTraceLimit = 0;

port.on('message', ({ seed, steps }: SeedQuestion) => {
  void runSeed({ seed, steps }).then(({ violation, handlersStarted, virtualMs, longestMs, counts }) =>
    port.postMessage({ seed, violation, handlersStarted, virtualMs, longestMs, counts } satisfies SeedAnswer),
  );
});
