/** What `npm run bench -- …` may say. */
import { parseArgs } from 'node:util';

export interface BenchOptions {
  /** Names of scenarios, in the order in which they run. */
  readonly scenarios: readonly string[];
  /** Names of contestants, if not all are to run. */
  readonly only: readonly string[];
  /** How often each contestant is measured, if not as often as usual in a scenario. */
  readonly rounds?: number;
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

const ROUNDS = 5;
/** What recorded results are measured with; a run with other sizes is a trial. */
const SIZES = { tasks: 100_000, seconds: 4, samples: 200, future: 1_000_000, minutes: 30 };
type Size = keyof typeof SIZES;

const usage = (
  scenarios: readonly string[],
  onRequest: readonly string[],
  contestants: readonly string[],
) => `usage: npm run bench -- [SCENARIO…] [--rounds N] [--tasks N] …

Measures this project beside its peers, on the same servers, interleaved.

  SCENARIO      ${scenarios.join(', ')}: all of them unless some are named;
                only if named: ${onRequest.join(', ')}
  --rounds N    how often each contestant is measured, in turn (${ROUNDS}; a steady load once)
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

Results go to bench/results/; those of a run with sizes or contestants of its own, or fewer rounds, to
bench/results/trial/.`;

export interface KnownScenario {
  readonly name: string;
  /** Runs only where it is named. */
  readonly onRequest?: boolean;
  /** Names of those that it measures. */
  readonly contestants: readonly string[];
  /** How often, where that is not as often as the others. */
  readonly rounds?: number;
}

export interface Known {
  readonly scenarios: readonly KnownScenario[];
  readonly contestants: readonly string[];
}

export function readCommandLine(args: readonly string[], known: Known): CommandLine {
  const string = { type: 'string' } as const;
  const names = (scenarios: readonly KnownScenario[]) => scenarios.map(({ name }) => name);
  const usual = known.scenarios.filter(({ onRequest }) => onRequest !== true);
  const onRequest = known.scenarios.filter((scenario) => !usual.includes(scenario));
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
    if (values.help) return { kind: 'help', text: usage(names(usual), names(onRequest), known.contestants) };
    const faults: string[] = [];
    const unknown = (what: string, names: readonly string[], from: readonly string[]) => {
      for (const name of names.filter((name) => !from.includes(name))) {
        faults.push(`no ${what} "${name}": there are ${from.join(', ')}`);
      }
    };
    unknown('scenario', positionals, names([...usual, ...onRequest]));
    const only = values.only?.split(',') ?? [];
    unknown('contestant', only, known.contestants);
    const measures = ({ contestants }: KnownScenario) =>
      only.length === 0 || contestants.some((name) => only.includes(name));
    for (const { name, contestants } of known.scenarios.filter((each) => !measures(each))) {
      if (positionals.includes(name)) faults.push(`${name}: measures ${contestants.join(', ')} only`);
    }
    const count = (name: Size | 'rounds', text: string): number => {
      const value = Number(text);
      if (!Number.isSafeInteger(value) || value < 1) faults.push(`--${name}: must be a whole number from 1`);
      return value;
    };
    const size = (name: Size) => count(name, values[name] ?? String(SIZES[name]));
    const options: BenchOptions = {
      scenarios: positionals.length > 0 ? [...new Set(positionals)] : names(usual.filter(measures)),
      only,
      ...(values.rounds !== undefined && { rounds: count('rounds', values.rounds) }),
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

/** How often the scenario is measured. */
export function roundsOf(options: BenchOptions, scenario: Pick<KnownScenario, 'rounds'>): number {
  return options.rounds ?? scenario.rounds ?? ROUNDS;
}

/** Whether a run of the scenario with these options is not one to record. More rounds than usual are welcome. */
export function isTrial(options: BenchOptions, scenario: Pick<KnownScenario, 'rounds'>): boolean {
  const { only, profile } = options;
  const fewer = roundsOf(options, scenario) < (scenario.rounds ?? ROUNDS);
  const others = (['tasks', 'seconds', 'samples', 'future', 'minutes'] as const).some(
    (size) => options[size] !== SIZES[size],
  );
  return others || fewer || only.length > 0 || profile;
}
