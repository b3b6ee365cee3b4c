import { ConfigError, readConfig } from './config.ts';
import type { Logger } from './logger.ts';
import { createLogger } from './logger.ts';
import { settings } from './settings.ts';

export interface AppProcess {
  readonly logger: Logger;
  /** Aborted by the first SIGTERM or SIGINT. A second one ends the process at once. */
  readonly stopping: AbortSignal;
  /** Registers what must be closed before the process ends; closed in reverse order, each within 30 s. */
  readonly onClose: (name: string, close: () => Promise<void>) => void;
}

/** An expected end with one clear line instead of a stack trace, e.g. a port that is taken. */
export class StartupError extends Error {
  override name = 'StartupError';
}

const CLOSE_DEADLINE_MS = 30_000;
/** npm passes on the Ctrl-C that the terminal has sent to all: so soon after the first it is the same one. */
const SAME_SIGNAL_MS = 500;
/** How long a process may take to stop once its parent is gone. */
const ORPHAN_DEADLINE_MS = 5_000;

/**
 * The life of one process: logger, signals, ordered close, exit code.
 *
 * `run` returns when the work is over (a one-shot job) or when `stopping` is aborted (a service). Exit codes:
 * 0 for a normal end, 1 for a fault, 2 for invalid configuration. `run` reads its configuration before it first
 * waits, so that what is wrong with the logger's is reported together with the rest.
 */
export async function runAppProcess(
  app: string,
  run: (process: AppProcess) => Promise<void>,
): Promise<never> {
  const { logger, faults } = openLogger(app);
  const closers: { name: string; close: () => Promise<void> }[] = [];
  const stop = new AbortController();
  let stoppingSinceMs = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) {
      if (performance.now() - stoppingSinceMs < SAME_SIGNAL_MS) return;
      logger.warn(`${signal} again: ending at once`);
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
    logger.info(`${signal}: stopping`);
    stoppingSinceMs = performance.now();
    stop.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  onParentGone(() => {
    logger.warn('the parent process is gone: stopping');
    setTimeout(() => process.exit(1), ORPHAN_DEADLINE_MS).unref();
    stop.abort();
  });
  const onFault = (error: unknown) => {
    logger.fatal({ err: error }, 'unexpected fault: ending');
    process.exit(1);
  };
  process.on('uncaughtException', onFault).on('unhandledRejection', onFault);

  let exitCode = 0;
  try {
    const running = run({
      logger,
      stopping: stop.signal,
      onClose: (name, close) => closers.push({ name, close }),
    });
    if (faults.length > 0) {
      logger.fatal((await allFaults(faults, running)).message);
      process.exit(2);
    }
    await running;
  } catch (error) {
    exitCode = error instanceof ConfigError ? 2 : 1;
    if (error instanceof ConfigError || error instanceof StartupError) logger.fatal(error.message);
    else logger.fatal({ err: error }, 'could not go on');
  }
  for (const { name, close } of closers.reverse()) {
    const deadline = setTimeout(() => {
      logger.error(`closing ${name} took over ${CLOSE_DEADLINE_MS / 1000} s: ending at once`);
      process.exit(1);
    }, CLOSE_DEADLINE_MS);
    try {
      await close();
    } catch (error) {
      logger.warn({ err: error }, `closing ${name} failed`);
    }
    clearTimeout(deadline);
  }
  process.exit(exitCode);
}

/** The logger as configured; with faults, which end the process soon, one of the default settings to tell them. */
function openLogger(app: string): { logger: Logger; faults: readonly string[] } {
  const from = { LOG_LEVEL: settings.LOG_LEVEL, LOG_FORMAT: settings.LOG_FORMAT };
  const open = (env: NodeJS.ProcessEnv) => {
    const { LOG_LEVEL, LOG_FORMAT } = readConfig(from, env);
    return createLogger({ app, level: LOG_LEVEL, format: LOG_FORMAT });
  };
  try {
    return { logger: open(process.env), faults: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { logger: open({}), faults: error.faults };
  }
}

/** The logger's faults, and those that `running` has found in the rest of the configuration. */
async function allFaults(faults: readonly string[], running: Promise<void>): Promise<ConfigError> {
  const others = await Promise.race([running, Promise.resolve()]).then(
    () => [],
    (error: unknown) => (error instanceof ConfigError ? error.faults : []),
  );
  return new ConfigError([...new Set([...others, ...faults])]);
}

/**
 * A parent that sets PARENT_PIPE=1 holds our standard input open as long as it lives, however it ends: nobody
 * else would tell us of a parent that was killed.
 */
function onParentGone(callback: () => void): void {
  if (process.env['PARENT_PIPE'] !== '1') return;
  process.stdin
    .on('error', () => undefined)
    .once('close', callback)
    .resume();
}
