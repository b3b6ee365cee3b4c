import type { Random } from '../libs/core/random.ts';
import type { TaskChange } from '../libs/db/stores.ts';
import type { Direction } from './wire.ts';

export type Server = 'zookeeper' | 'postgres';

/** What few tasks are. */
export interface Unusual {
  /** The delay is given as such, and not as a time. */
  readonly relative?: true;
  readonly priority?: number;
  readonly maxAttempts?: number;
  readonly backoffMs?: number;
  readonly timeoutMs?: number;
  /** So many attempts throw RetryLater before anything else. */
  readonly later?: number;
  /** What fails throws PermanentFailure. */
  readonly permanent?: true;
  /** It does not look at its signal, and returns. */
  readonly heedless?: true;
  /** With an Idempotency-Key, so many times more at once. */
  readonly again?: number;
}

/** What users change of a task that waits. */
export type Change = Pick<TaskChange, 'delayMs' | 'priority' | 'maxAttempts'> & {
  /** The payload: how long its handler takes from now on. */
  readonly sleepMs?: number;
};

/** What happens to the cluster from outside. Plain data: a schedule is a list of them, and can be printed. */
export type Action =
  | {
      readonly kind: 'submit';
      readonly count: number;
      readonly delayMs: number;
      readonly sleepMs: number;
      readonly fail: number;
      readonly stuckMs: number;
      /** Serial, under one of a few keys. */
      readonly line?: number;
      readonly unusual?: Unusual;
    }
  /** Of one of the latest submissions. */
  | { readonly kind: 'remove' | 'cancel' | 'retry' | 'run'; readonly nth: number }
  | {
      readonly kind: 'patch';
      readonly nth: number;
      readonly change: Change;
      /** Only as it was read just before: with If-Match. */
      readonly asRead: boolean;
    }
  | { readonly kind: 'crash' | 'start' | 'stop' | 'expire'; readonly process: string }
  | {
      readonly kind: 'pause';
      readonly process: string;
      readonly ms: number;
      readonly first: 'timer' | 'message';
    }
  | { readonly kind: 'wedge'; readonly process: string; readonly ms: number }
  | { readonly kind: 'cut'; readonly process: string; readonly server: Server }
  | {
      readonly kind: 'blackHole';
      readonly process: string;
      readonly server: Server;
      readonly directions: readonly Direction[];
      readonly ms: number;
    }
  | {
      readonly kind: 'slowWire';
      readonly process: string;
      readonly server: Server;
      readonly byMs: number;
      readonly ms: number;
    }
  | { readonly kind: 'loseReply'; readonly process: string; readonly server: Server; readonly to: string }
  /** One connection stalls with the reply of Postgres to such a statement; the process' others go on. */
  | { readonly kind: 'delayReply'; readonly process: string; readonly to: string; readonly ms: number }
  | { readonly kind: 'loseNotifications' | 'loseEvents'; readonly process: string; readonly ms: number }
  | { readonly kind: 'slowBackend'; readonly process: string; readonly byMs: number; readonly ms: number }
  | { readonly kind: 'zookeeperDown' | 'postgresRestart'; readonly ms: number }
  | { readonly kind: 'wipe'; readonly initAfterMs: number }
  /** Somebody deletes the leader's znodes, whose session lives on. */
  | { readonly kind: 'depose' }
  /** `npm run cluster -- …` */
  | { readonly kind: 'administer'; readonly words: readonly string[] }
  | { readonly kind: 'stepClock'; readonly whose: string; readonly ms: number };

export type ActionKind = Action['kind'];

/** One step of a schedule: something happens, or nothing, and then time passes. */
export interface Step {
  readonly action: Action | undefined;
  readonly thenMs: number;
}

/** The last one joins when it is told to. */
export const WORKERS = ['worker-1', 'worker-2', 'worker-3'];
/** Takes back whatever {@link Action} `administer` may have asked for. */
export const NO_WISHES: readonly (readonly string[])[] = [
  ['resume'],
  ...WORKERS.flatMap((worker) => [
    ['enable', worker],
    ['weight', worker, 'none'],
    ['zone', worker, 'none'],
    ['limit', worker, 'none'],
  ]),
];
export const CONTROLLERS = ['controller-1', 'controller-2'];
/** Those who submit and remove tasks, as far as their connections go. */
export const USERS = 'users';

/** Of the connections that something happens to. */
const SHARE_OF_USERS = 0.1;

/** How often each is drawn, relative to the others. */
const WEIGHTS: Record<ActionKind, number> = {
  submit: 16,
  remove: 3,
  cancel: 3,
  retry: 3,
  run: 2,
  patch: 3,
  crash: 3,
  start: 4,
  stop: 3,
  expire: 2,
  pause: 4,
  wedge: 2,
  cut: 3,
  blackHole: 3,
  slowWire: 2,
  loseReply: 8,
  delayReply: 4,
  loseNotifications: 2,
  loseEvents: 2,
  slowBackend: 3,
  zookeeperDown: 1.5,
  postgresRestart: 3,
  wipe: 0.5,
  depose: 3,
  administer: 4,
  stepClock: 2,
};
/** What a run may do without: each seed leaves out some faults, so that others are seen undisturbed ("swarm testing", Groce et al., 2012). */
const ALWAYS: readonly ActionKind[] = ['submit', 'remove', 'start'];
const SHARE_OF_UNUSUAL = 0.4;
const SHARE_OF_KINDS = 0.5;
/** In so many schedules something happens that takes several steps in order, which are never drawn one by one. */
const SHARE_WITH_A_MISFORTUNE = 0.25;

const STATEMENTS = [
  'claim-tasks',
  'finish-tasks',
  'acquire-partitions',
  'release-partitions',
  'renew-sessions',
  'recover-tasks',
  'task-payloads',
  '*',
];
const STATEMENTS_OF_USERS = [
  ...[
    'insert-tasks',
    'insert-usual',
    'insert-usual',
    'remove-task',
    'cancel-task',
    'retry-task',
    'run-task',
    'patch-task',
  ],
];
const REQUESTS = ['multi', 'setData', 'create', 'any'];

const SHARE_IN_LINES = 0.3;
const LINES = 3;

/** Draws a schedule of `steps` steps. The same randomness gives the same schedule. */
export function drawSchedule(random: Random, steps: number): Step[] {
  // In every fourth run tasks take long, so that partitions move and servers go away while they run.
  const draw = new Draw(random, random.next() < 0.25 ? 0.9 : 0.2);
  const kinds = (Object.keys(WEIGHTS) as ActionKind[]).filter(
    (kind) => ALWAYS.includes(kind) || random.next() < SHARE_OF_KINDS,
  );
  const shareOfActions = 0.1 + 0.4 * random.next();
  const drawn = Array.from({ length: steps }, () => ({
    action: random.next() < shareOfActions ? draw.action(draw.weighted(kinds)) : undefined,
    thenMs: draw.pauseMs(),
  }));
  if (random.next() < SHARE_WITH_A_MISFORTUNE) {
    const misfortune = draw.misfortune();
    drawn.splice(Math.floor(random.next() * steps), misfortune.length, ...misfortune);
  }
  return drawn.slice(0, steps);
}

class Draw {
  readonly #random: Random;
  readonly #shareOfLong: number;

  constructor(random: Random, shareOfLong: number) {
    this.#random = random;
    this.#shareOfLong = shareOfLong;
  }

  weighted(kinds: readonly ActionKind[]): ActionKind {
    let left = this.#random.next() * kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0);
    return kinds.find((kind) => (left -= WEIGHTS[kind]) < 0) ?? 'submit';
  }

  /** Mostly short, so that faults meet what is under way; now and then long enough for a lease to end. */
  pauseMs(): number {
    const share = this.#random.next();
    return Math.ceil(this.#upTo(share < 0.88 ? 15 : share < 0.98 ? 110 : 1_200));
  }

  /** One of those that take several steps in order. */
  misfortune(): Step[] {
    const drawn = this.#random.next();
    if (drawn < 0.5) return this.#movesUnderLongAttemptsBeforeAnOutage();
    return drawn < 0.75 ? this.#answersToRetriesHangUntilTheNextAttempt() : this.#freezesWithWorkInHand();
  }

  #movesUnderLongAttemptsBeforeAnOutage(): Step[] {
    const long = this.#submissionOf({ count: 3, sleepMs: 6_000 + Math.ceil(this.#upTo(4_000)) });
    const move = this.#pick<Action>([
      { kind: 'start', process: WORKERS.at(-1) ?? '' },
      { kind: 'administer', words: ['drain', this.#pick(WORKERS)] },
    ]);
    return [
      { action: long, thenMs: 20 },
      { action: long, thenMs: 100 },
      { action: move, thenMs: 1_200 + Math.ceil(this.#upTo(800)) },
      { action: { kind: 'postgresRestart', ms: 2_000 + Math.ceil(this.#upTo(2_500)) }, thenMs: 3_500 },
    ];
  }

  /** The outcome of one attempt is written, and written again while the next attempt runs. */
  #answersToRetriesHangUntilTheNextAttempt(): Step[] {
    const each = (action: (process: string) => Action, thenMs: number): Step[] =>
      WORKERS.map((process, i) => ({ action: action(process), thenMs: i < WORKERS.length - 1 ? 1 : thenMs }));
    return [
      { action: this.#submissionOf({ count: 3, sleepMs: 1_500, fail: 1 }), thenMs: 50 },
      ...each((process) => ({ kind: 'delayReply', process, to: 'finish-tasks', ms: 8_000 }), 2_800),
      ...each((process) => ({ kind: 'cut', process, server: 'postgres' }), 100),
    ];
  }

  /** Some of which is no longer wanted, which its worker does not hear. */
  #freezesWithWorkInHand(): Step[] {
    const first = this.#pick(['timer', 'message'] as const);
    const unwanted = [1, 3, 5].map((nth): Step => ({
      action: { kind: this.#pick(['remove', 'cancel'] as const), nth },
      thenMs: nth < 5 ? 20 : 3_500,
    }));
    return [
      { action: this.#submissionOf({ count: 3, sleepMs: 4_000 }), thenMs: 20 },
      { action: this.#submissionOf({ count: 3, sleepMs: 8_000 }), thenMs: 100 },
      {
        action: {
          kind: 'pause',
          process: this.#pick(WORKERS),
          ms: 3_000 + Math.ceil(this.#upTo(4_000)),
          first,
        },
        thenMs: 20,
      },
      ...unwanted,
    ];
  }

  #submissionOf(wanted: { count: number; sleepMs: number; fail?: number }): Action {
    return { kind: 'submit', delayMs: 0, fail: 0, stuckMs: 0, ...wanted };
  }

  action(kind: ActionKind): Action {
    switch (kind) {
      case 'submit':
        return this.#submission();
      case 'remove':
      case 'cancel':
      case 'retry':
      case 'run':
        return { kind, nth: Math.floor(this.#upTo(6)) };
      case 'patch': {
        const nth = Math.floor(this.#upTo(6));
        return { kind, nth, change: this.#change(), asRead: this.#random.next() < 0.5 };
      }
      case 'crash':
      case 'start':
      case 'stop':
      case 'expire':
        return { kind, process: this.#process() };
      case 'pause':
        return {
          kind,
          process: this.#process(),
          ms: this.#faultMs(),
          first: this.#pick(['timer', 'message']),
        };
      case 'wedge':
        return { kind, process: this.#pick(WORKERS), ms: this.#faultMs() };
      case 'cut':
        return { kind, ...this.#way() };
      case 'blackHole': {
        const directions = this.#pick<readonly Direction[]>([
          ['TO_SERVER', 'TO_CLIENT'],
          ['TO_SERVER'],
          ['TO_CLIENT'],
        ]);
        return { kind, ...this.#way(), directions, ms: this.#faultMs() };
      }
      case 'slowWire':
        return {
          kind,
          ...this.#way(),
          // A dead worker's last ping may be on its way for so long: below what its successor waits for, 2 T + 1 s.
          byMs: Math.ceil(this.#upTo(this.#pick([100, 1_500, 2_500]))),
          ms: this.#faultMs(),
        };
      case 'loseReply': {
        const { process, server } = this.#way();
        return { kind, process, server, to: this.#replyTo(process, server) };
      }
      case 'delayReply': {
        const process = this.#pick([...WORKERS, USERS]);
        return { kind, process, to: this.#replyTo(process, 'postgres'), ms: this.#faultMs() };
      }
      case 'loseNotifications':
        return {
          kind,
          process: this.#pick(WORKERS),
          // Long enough for a task to wait beyond every bound, if a notification were all that it waited for.
          ms: Math.ceil(this.#upTo(this.#pick([300, 6_000, 30_000]))),
        };
      case 'loseEvents':
        return { kind, process: this.#process(), ms: this.#faultMs() };
      case 'slowBackend':
        return {
          kind,
          process: this.#pick(WORKERS),
          byMs: Math.ceil(this.#upTo(4_000)),
          ms: this.#faultMs(),
        };
      case 'zookeeperDown':
      case 'postgresRestart':
        return { kind, ms: this.#faultMs() };
      case 'wipe':
        return { kind, initAfterMs: Math.ceil(this.#upTo(3_000)) };
      case 'depose':
        return { kind };
      case 'administer':
        return { kind, words: this.#wish() };
      case 'stepClock': {
        const ms = Math.round((this.#random.next() - 0.5) * 2 * this.#pick([50, 5_000, 60_000]));
        return { kind, whose: this.#pick(['postgres', ...WORKERS, ...CONTROLLERS]), ms };
      }
    }
  }

  #submission(): Action {
    const task = this.#alone();
    if (this.#random.next() >= SHARE_IN_LINES) return task;
    // What waits for each other must be done in time, too.
    const [sleepMs, stuckMs] = [Math.min(task.sleepMs, 1_000), Math.min(task.stuckMs, 1_000)];
    // Some come before those that are there.
    const delayMs = this.#random.next() < 0.7 ? task.delayMs : -Math.ceil(this.#upTo(2_000));
    return { ...task, delayMs, sleepMs, stuckMs, line: Math.floor(this.#upTo(LINES)) };
  }

  #alone(): Extract<Action, { kind: 'submit' }> {
    const stuck = this.#random.next() < 0.05;
    return {
      kind: 'submit',
      count: 1 + Math.floor(this.#upTo(3)),
      delayMs:
        this.#random.next() < 0.5 ? 0 : Math.ceil(this.#upTo(this.#random.next() < 0.9 ? 1_500 : 7_000)),
      sleepMs:
        this.#random.next() < this.#shareOfLong
          ? Math.ceil(this.#upTo(5_000))
          : Math.ceil(this.#upTo(this.#pick([1, 100]))),
      fail: this.#random.next() < 0.85 ? 0 : 1,
      stuckMs: stuck ? Math.ceil(this.#upTo(5_000)) : 0,
      ...(this.#random.next() < SHARE_OF_UNUSUAL && { unusual: this.#unusual() }),
    };
  }

  /** One of them, or two. */
  #unusual(): Unusual {
    const one = (): Unusual =>
      this.#pick<Unusual>([
        { relative: true },
        { priority: this.#pick([1, 5, 9]) },
        { maxAttempts: this.#pick([1, 2, 3]) },
        { backoffMs: this.#pick([0, 100, 2_000]) },
        { timeoutMs: this.#pick([5, 50, 500]) },
        { later: this.#pick([1, 2]) },
        { permanent: true },
        { heedless: true },
        { again: this.#pick([0, 1, 3]) },
      ]);
    return { ...one(), ...(this.#random.next() < 0.5 && one()) };
  }

  #change(): Change {
    return this.#pick<Change>([
      { delayMs: 0 },
      { delayMs: Math.ceil(this.#upTo(3_000)) },
      { priority: this.#pick([0, 1, 9]) },
      { maxAttempts: this.#pick([1, 2, 3]) },
      { sleepMs: Math.ceil(this.#upTo(200)) },
      { sleepMs: 1, priority: 5, delayMs: 100 },
    ]);
  }

  #wish(): string[] {
    const worker = this.#pick(WORKERS);
    return this.#pick([
      ['drain', worker],
      ['disable', worker],
      ['enable', worker],
      ['weight', worker, this.#pick(['1', '2', '5'])],
      ['zone', worker, this.#pick(['a', 'b'])],
      ['limit', worker, this.#pick(['0', '1', '3', 'none'])],
      ['pause', '--for', this.#pick(['1s', '10m'])],
      ['maintenance', 'on', '--for', this.#pick(['1s', '10m'])],
      ['resume'],
    ]);
  }

  #way(): { process: string; server: Server } {
    if (this.#random.next() < SHARE_OF_USERS) return { process: USERS, server: 'postgres' };
    const process = this.#process();
    return {
      process,
      server: process.startsWith('controller') ? 'zookeeper' : this.#pick(['zookeeper', 'postgres']),
    };
  }

  #replyTo(process: string, server: Server): string {
    if (server === 'zookeeper') return this.#pick(REQUESTS);
    return this.#pick(process === USERS ? STATEMENTS_OF_USERS : STATEMENTS);
  }

  #process(): string {
    return this.#pick(this.#random.next() < 0.75 ? WORKERS : CONTROLLERS);
  }

  #faultMs(): number {
    return Math.ceil(this.#upTo(this.#pick([300, 1_500, 6_000])));
  }

  #upTo(max: number): number {
    return this.#random.next() * max;
  }

  #pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.#random.next() * from.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }
}
