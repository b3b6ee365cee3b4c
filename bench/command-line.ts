/** What `npm run bench -- …` may say. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** Names of scenarios, in the order in which they run. */
  readonly scenarios: readonly string[];
  /** Names of contestants, if not all are to run. */
  readonly only: readonly string[];
  readonly rounds: number;
  /** A backlog's. */
  readonly tasks: number;
  /** Of each measurement of a rate, and of each stream of due tasks. */
  readonly seconds: number;
  /** Tasks of one measurement of latency. */
  readonly samples: number;
  /** Future tasks that lie beside a backlog. */
  readonly future: number;
  /** Of a steady load. */
  readonly minutes: number;
  /** CPU profiles of the project's worker and API, and the statements that take Postgres longest. */
  readonly profile: boolean;
}

export type CommandLine =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'invalid'; readonly message: string };

/** What recorded results are measured with; a run with other sizes is a trial. */
const SIZES = { rounds: 5, tasks: 100_000, seconds: 4, samples: 300, future: 1_000_000, minutes: 30 };
type Size = keyof typeof SIZES;

const usage = ({
  scenarios,
  onRequest,
  contestants,
}: Known) => `usage: npm run bench -- [SCENARIO…] [--rounds N] [--tasks N] …

Measures this project beside its peers, on the same servers, interleaved.

  SCENARIO      ${scenarios.join(', ')}: all of them unless some are named;
                only if named: ${onRequest.join(', ')}
  --rounds N    how often each contestant is measured, in turn (${SIZES.rounds})
  --tasks N     size of a backlog (${SIZES.tasks})
  --seconds N   how long a rate is measured, or a stream of due tasks lasts (${SIZES.seconds})
  --samples N   tasks of one measurement of latency (${SIZES.samples})
  --future N    future tasks beside a backlog (${SIZES.future})
  --minutes N   how long a steady load lasts (${SIZES.minutes})
  --only NAMES  these contestants only, separated by commas:
                ${contestants.join(', ')}
  --profile     writes CPU profiles of the project's worker and API to bench/profiles/, and says which
                statements a drain spends Postgres' time on
  --help        this text; also -h

Results go to bench/results/; those of a run with sizes or contestants of its own to bench/results/trial/.`;

export interface Known {
  readonly scenarios: readonly string[];
  /** Scenarios that run only where they are named. */
  readonly onRequest: readonly string[];
  readonly contestants: readonly string[];
}

export function readCommandLine(args: readonly string[], known: Known): CommandLine {
  const string = { type: 'string' } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        rounds: string,
        tasks: string,
        seconds: string,
        samples: string,
        future: string,
        minutes: string,
        only: string,
        profile: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) return { kind: 'help', text: usage(known) };
    const faults: string[] = [];
    const unknown = (what: string, names: readonly string[], from: readonly string[]) => {
      for (const name of names.filter((name) => !from.includes(name))) {
        faults.push(`no ${what} "${name}": there are ${from.join(', ')}`);
      }
    };
    unknown('scenario', positionals, [...known.scenarios, ...known.onRequest]);
    const only = values.only?.split(',') ?? [];
    unknown('contestant', only, known.contestants);
    const size = (name: Size): number => {
      const value = Number(values[name] ?? SIZES[name]);
      if (!Number.isSafeInteger(value) || value < 1) faults.push(`--${name}: must be a whole number from 1`);
      return value;
    };
    const options: BenchOptions = {
      scenarios: positionals.length > 0 ? positionals : known.scenarios,
      only,
      rounds: size('rounds'),
      tasks: size('tasks'),
      seconds: size('seconds'),
      samples: size('samples'),
      future: size('future'),
      minutes: size('minutes'),
      profile: values.profile,
    };
    return faults.length > 0 ? { kind: 'invalid', message: faults.join('\n') } : { kind: 'run', options };
  } catch (error) {
    return { kind: 'invalid', message: (error as Error).message.split(/\. |\n/)[0] ?? '' };
  }
}

/** Whether a run with these options is not one to record. More rounds than usual are welcome. */
export function isTrial(options: BenchOptions): boolean {
  const { rounds, only, profile } = options;
  const others = (['tasks', 'seconds', 'samples', 'future', 'minutes'] as const).some(
    (size) => options[size] !== SIZES[size],
  );
  return others || rounds < SIZES.rounds || only.length > 0 || profile;
}
