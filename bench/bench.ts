/** What a run of the benchmark has at hand. */
import type { BenchOptions } from './command-line.ts';
import type { Processes } from './processes.ts';
import type { BenchPostgres } from './servers/postgres.ts';
import type { BenchRedis } from './servers/redis.ts';

export interface Bench {
  readonly options: BenchOptions;
  /** That is measured; undefined where it is not known. */
  readonly commit: string | undefined;
  readonly postgres: BenchPostgres;
  /** Undefined where this machine has no redis-server. */
  readonly redis: BenchRedis | undefined;
  readonly processes: Processes;
  /** Where data and logs of this run go; removed at its end. */
  readonly dir: string;
  /** For CPU profiles; kept. */
  readonly profileDir: string;
  /** A line of progress. */
  readonly say: (text: string) => void;
}
