import type { EmbeddedPostgres } from '../postgres.ts';
import { startEmbeddedPostgres } from '../postgres.ts';
import type { Output } from './output.ts';
import type { Service } from './supervisor.ts';

export interface PostgresService extends Service {
  /** Never resolves where the server does not come up: {@link Service.ended} says why. */
  readonly url: Promise<string>;
}

/** What the server writes, unlike the chatter of making its files before the first start. */
const SERVER_LINE = /^[A-Z]+: /;

/** The embedded Postgres with its data in `dataDir`, as a service: it has an operating system process of its own. */
export function startPostgresService(dataDir: string, output: Output): PostgresService {
  const name = 'postgres';
  let running = false;
  let end: (how: string) => void = () => undefined;
  const ended = new Promise<string>((resolve) => (end = resolve));
  const starting = startEmbeddedPostgres({
    dataDir,
    settings: { log_line_prefix: '', log_checkpoints: 'off' },
    onLog(line) {
      running ||= SERVER_LINE.test(line);
      if (running) output.line(name, line);
    },
    onUnexpectedExit: (reason) => end(reason.replace(/^Postgres /, '')),
  }).catch((error: unknown) => end(`could not be started: ${(error as Error).message}`));
  const stop = async (mode?: Parameters<EmbeddedPostgres['stop']>[0]) => {
    const server = await starting;
    await server?.stop(mode);
    end('stopped');
  };
  return {
    name,
    ended,
    url: starting.then((server) => server?.url ?? new Promise<never>(() => undefined)),
    stop: () => stop(),
    kill: () => void stop('immediate'),
  };
}
