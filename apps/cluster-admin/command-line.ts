/** What `npm run cluster -- …` may say. */
import { parseArgs } from 'node:util';
import { MOST_TAGS } from '../../libs/cluster/records.ts';
import type { Mode, WorkerWish } from '../../libs/cluster/records.ts';
import { nearest } from './nearest.ts';
import { duration, name, names, unlessNone, UsageError, wholeNumber } from './operands.ts';

/** What to change of a record; `undefined` clears a field. */
export type WishChange = { readonly [K in keyof WorkerWish]: WorkerWish[K] | undefined };

export type Command =
  | { readonly kind: 'status' }
  | { readonly kind: 'dry-run' }
  | { readonly kind: 'wish'; readonly worker: string; readonly change: WishChange }
  | { readonly kind: 'require-tag'; readonly tag: string | undefined }
  | {
      readonly kind: 'mode';
      readonly mode: Mode['mode'];
      readonly forMs?: number | undefined;
      readonly reason?: string | undefined;
      /** Leave another mode than this one alone. */
      readonly onlyFrom?: Mode['mode'];
    };

export type CommandLine =
  | { readonly kind: 'run'; readonly command: Command; readonly json: boolean }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'invalid'; readonly message: string };

type Flags = Readonly<Record<string, string | boolean | undefined>>;

interface CommandSpec {
  /** What follows the command's name, one word each. */
  readonly operands: readonly string[];
  /** Flags of its own, besides --json and --help. */
  readonly flags: readonly string[];
  readonly summary: string;
  /** @throws UsageError */
  readonly read: (operands: readonly string[], flags: Flags) => Command;
}

const TIMED = ['--for', '--reason'];

const COMMANDS: Readonly<Record<string, CommandSpec>> = {
  status: {
    operands: [],
    flags: [],
    summary: 'leader, mode, workers, partitions without an owner, moves under way',
    read: () => ({ kind: 'status' }),
  },
  plan: {
    operands: [],
    flags: ['--dry-run'],
    summary: 'each move the controller would make now, or once resumed, and why; needs --dry-run',
    read: (_operands, flags) => {
      if (flags['dry-run'] === true) return { kind: 'dry-run' };
      throw new UsageError('plan: say --dry-run; the controller carries its plan out by itself');
    },
  },
  drain: wishSpec('move everything off a worker that others can take', () => ({ wish: 'DRAIN' })),
  disable: wishSpec('move everything off a worker, though nobody else could take it', () => ({
    wish: 'DISABLED',
  })),
  enable: wishSpec('end drain and disable', () => ({ wish: 'ENABLED' })),
  weight: wishSpec(
    'its share of the partitions: 1 to 1000, or none',
    (value) => ({ weight: unlessNone(value, wholeNumber(1, 1_000)) }),
    'N',
  ),
  zone: wishSpec(
    'the zone it runs in, or none',
    (value) => ({ zone: unlessNone(value, name('ZONE')) }),
    'ZONE',
  ),
  tags: wishSpec(
    'its tags, separated by commas, or none',
    (value) => ({ tags: unlessNone(value, names('TAGS', MOST_TAGS)) }),
    'TAGS',
  ),
  limit: wishSpec(
    'the most partitions it may hold, or none',
    (value) => ({ maxPartitions: unlessNone(value, wholeNumber(0, 65_536)) }),
    'N',
  ),
  'require-tag': {
    operands: ['TAG'],
    flags: [],
    summary: 'give partitions only to workers with this tag; none: to all',
    read: ([tag = '']) => ({ kind: 'require-tag', tag: unlessNone(tag, name('TAG')) }),
  },
  pause: {
    operands: [],
    flags: TIMED,
    summary: 'move nothing at all, not even what a lost worker leaves behind',
    read: (_operands, flags) => ({ kind: 'mode', mode: 'PAUSED', ...timed(flags) }),
  },
  resume: {
    operands: [],
    flags: [],
    summary: 'end pause or maintenance',
    read: () => ({ kind: 'mode', mode: 'AUTO' }),
  },
  maintenance: {
    operands: ['on|off'],
    flags: TIMED,
    summary: 'on: place orphans and heed wishes, but balance nothing',
    read: ([state], flags) => {
      if (state === 'on') return { kind: 'mode', mode: 'MAINTENANCE', ...timed(flags) };
      if (state !== 'off') throw new UsageError('maintenance: say on or off');
      if (flags['for'] !== undefined || flags['reason'] !== undefined) {
        throw new UsageError('maintenance off: takes neither --for nor --reason');
      }
      return { kind: 'mode', mode: 'AUTO', onlyFrom: 'MAINTENANCE' };
    },
  },
};

const OPTIONS = {
  'dry-run': { type: 'boolean' },
  for: { type: 'string' },
  reason: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

const FLAGS = `  --for TIME       pause, maintenance on: until then, as 90s, 10m or 2h; without it, until ended
  --reason TEXT    pause, maintenance on: shown by status
  --json           what a program can read; failures are plain text on stderr all the same
  --help           this text; also -h`;

/** What stands for the value of a flag that takes one. */
const FLAG_VALUES: Readonly<Record<string, string>> = { '--for': 'TIME', '--reason': 'TEXT' };

/** Reads the command and its flags; what is wrong with them is said in one line. */
export function readCommandLine(args: readonly string[]): CommandLine {
  const { values, tokens } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  // A negative number is an operand, if a wrong one, though it begins as a flag does.
  const isNumber = (index: number) => /^-\d/.test(args[index] ?? '');
  const words = args.filter((_arg, i) =>
    tokens.some(({ kind, index }) => index === i && (kind === 'positional' || isNumber(i))),
  );
  const asksForHelp = values['help'] === true || words[0] === 'help';
  const [given, ...operands] = words[0] === 'help' ? words.slice(1) : words;
  if (args.length === 0) return { kind: 'invalid', message: 'which command?' };
  try {
    const spec = given === undefined ? undefined : specOf(given);
    if (asksForHelp) return { kind: 'help', text: helpOf(given, spec) };
    if (given === undefined || spec === undefined) throw new UsageError('which command?');
    for (const token of tokens) {
      if (token.kind === 'option' && !isNumber(token.index)) checkFlag(given, spec, token);
    }
    if (operands.length !== spec.operands.length) throw new UsageError(`usage: ${usageOf(given, spec)}`);
    return { kind: 'run', command: spec.read(operands, values), json: values['json'] === true };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { kind: 'invalid', message: error.message };
  }
}

function specOf(given: string): CommandSpec {
  const spec = Object.hasOwn(COMMANDS, given) ? COMMANDS[given] : undefined;
  if (spec !== undefined) return spec;
  throw new UsageError(`no command "${given}"${didYouMean(given, Object.keys(COMMANDS))}`);
}

function didYouMean(given: string, candidates: readonly string[]): string {
  const meant = nearest(given, candidates);
  return meant === undefined ? '' : `: did you mean ${meant}?`;
}

/** As parseArgs found it; `inlineValue` where it stands behind `=`. */
interface Flag {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function checkFlag(command: string, spec: CommandSpec, { name, rawName, value, inlineValue }: Flag): void {
  const allowed = [...spec.flags, '--json', '--help'];
  if (!allowed.includes(`--${name}`)) {
    throw new UsageError(`${command} has no flag ${rawName}${didYouMean(rawName, allowed)}`);
  }
  const { type } = OPTIONS[name as keyof typeof OPTIONS];
  if (type === 'string' && (value === undefined || value === '')) {
    throw new UsageError(`--${name} needs a value`);
  }
  // What looks like a flag is one, and the value was forgotten.
  if (type === 'string' && inlineValue === false && value?.startsWith('-') === true) {
    throw new UsageError(`--${name} needs a value; if it is to be ${value}: --${name}=${value}`);
  }
  if (type === 'boolean' && value !== undefined) throw new UsageError(`--${name} takes no value`);
}

function usageOf(given: string, { operands, flags }: CommandSpec): string {
  const optional = flags.map((flag) => `[${[flag, FLAG_VALUES[flag] ?? []].flat().join(' ')}]`);
  return ['npm run cluster --', given, ...operands, ...optional].join(' ');
}

function helpOf(given: string | undefined, spec: CommandSpec | undefined): string {
  if (given !== undefined && spec !== undefined) {
    return `usage: ${usageOf(given, spec)}\n\n${spec.summary}\n\n${FLAGS}`;
  }
  const width = 22;
  const commands = Object.entries(COMMANDS).map(
    ([command, { operands, summary }]) => `  ${[command, ...operands].join(' ').padEnd(width)} ${summary}`,
  );
  return `usage: npm run cluster -- COMMAND

Looks at a cluster, and tells its controller what is wanted. ZOOKEEPER_CONNECT says where it is, CLUSTER_NAME and
ZOOKEEPER_AUTH what it is called and by which credentials it is changed.

${commands.join('\n')}

${FLAGS}

Exit codes: 0 done, 1 failed, 2 wrong usage.`;
}

/** A command that changes the wish for one worker, by what its second operand says, if it has one. */
function wishSpec(summary: string, change: (value: string) => WishChange, operand?: string): CommandSpec {
  return {
    operands: operand === undefined ? ['WORKER'] : ['WORKER', operand],
    flags: [],
    summary,
    read: ([worker = '', value = '']) => ({
      kind: 'wish',
      worker: name('WORKER')(worker),
      change: change(value),
    }),
  };
}

function timed({ for: time, reason }: Flags): { forMs?: number; reason?: string } {
  return {
    ...(typeof time === 'string' && { forMs: duration('--for')(time) }),
    ...(typeof reason === 'string' && { reason }),
  };
}
