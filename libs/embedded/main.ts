/** `npm start`: the whole scheduler on this machine. */
import { StartupError } from '../runtime/app-process.ts';
import { systemClock } from '../runtime/system.ts';
import type { LocalClusterOptions } from './local-cluster/command-line.ts';
import { readCommandLine } from './local-cluster/command-line.ts';
import { runLocalCluster } from './local-cluster/local-cluster.ts';
import { createOutput } from './local-cluster/output.ts';
import { processNames } from './local-cluster/processes.ts';

/** npm passes on a signal that the terminal has sent to all: within this time it counts as the same one. */
const SAME_SIGNAL_MS = 1_000;
/** On top of the time a worker lets its handlers finish. */
const CLOSING_MS = 5_000;

const commandLine = readCommandLine(process.argv.slice(2), process.env, process.cwd());
switch (commandLine.kind) {
  case 'help':
    console.log(commandLine.text);
    break;
  case 'invalid':
    console.error(`${commandLine.message} (npm start -- --help lists what can be said)`);
    process.exitCode = 2;
    break;
  case 'run':
    process.exit(await run(commandLine.options));
}

async function run(options: LocalClusterOptions): Promise<number> {
  const stop = new AbortController();
  const force = new AbortController();
  let firstSignalMs: number | undefined;
  const onSignal = () => {
    firstSignalMs ??= systemClock.monotonicMs();
    stop.abort();
    if (systemClock.monotonicMs() - firstSignalMs > SAME_SIGNAL_MS) force.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal);
  // Whoever read our lines is gone, such as the terminal.
  process.stdout.on('error', () => stop.abort());

  try {
    return await runLocalCluster({
      options,
      output: createOutput({ stream: process.stdout, names: processNames(options) }),
      clock: systemClock,
      stopGraceMs: options.shutdownGraceMs + CLOSING_MS,
      stopping: stop.signal,
      forcing: force.signal,
    });
  } catch (error) {
    console.error(error instanceof StartupError ? error.message : error);
    return 1;
  }
}
