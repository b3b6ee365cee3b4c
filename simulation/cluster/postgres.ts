import { StatementCancelledError, StoreUnavailableError } from '../../libs/db/stores.ts';
import { SimulatedDatabase } from '../store/database.ts';
import type { Link } from '../store/stores.ts';
import { simulatedStores } from '../store/stores.ts';
import { Thread } from '../thread.ts';
import type { Stream, Wire } from '../wire.ts';
import type { World } from '../world.ts';

export type Stores = ReturnType<typeof simulatedStores>;
type StatementListener = (process: string, statement: string, what: 'executed' | 'committed') => void;

/** Hold no locks that anyone could wait for. */
const READS = new Set(['peek-due', 'running-tasks', 'task-payloads', 'read-meta', 'get-task']);

/** Of a slow backend's looks for what comes next, and after how long at most. */
const CUT_OFF_SHARE = 0.3;
const CUT_OFF_MS = 100;

/** The one Postgres: the database, its clock, and whether it is up. */
export class Postgres {
  readonly database: SimulatedDatabase;
  /** Its machine: paused never, its wall clock is what `now()` shows. */
  readonly machine: Thread;
  readonly world: World;
  readonly onStatement: StatementListener;
  #up = true;
  readonly #restarts = new Set<() => void>();
  /** Replies to be lost: the next one of a process to a statement of that name. */
  readonly #lostReplies: { readonly process: string; readonly statement: string }[] = [];
  /** As these, only late. */
  readonly #lateReplies: { readonly process: string; readonly statement: string; readonly ms: number }[] = [];
  /** Replies that are late at the moment. */
  readonly #stalled = new Set<() => void>();
  /** Statements of these processes take so long before they commit, holding their locks. */
  readonly #slowMs = new Map<string, number>();

  constructor(world: World, options: { partitions: number; uid: string; onStatement: StatementListener }) {
    this.world = world;
    this.machine = new Thread(world, 0);
    this.onStatement = options.onStatement;
    this.database = new SimulatedDatabase({ ...options, clock: this.machine.clock });
  }

  get up(): boolean {
    return this.#up;
  }

  onRestart(listener: () => void): void {
    this.#restarts.add(listener);
  }

  restart(downMs: number): void {
    if (!this.#up) return;
    this.#up = false;
    this.database.crash();
    for (const listener of this.#restarts) listener();
    this.world.schedule(downMs, () => (this.#up = true));
  }

  /** The next statement of `process` and that name (`*`: any) is committed, but its connection cut in place of the reply. */
  loseReply(process: string, statement: string): void {
    this.#lostReplies.push({ process, statement });
  }

  losesReply(process: string, statement: string): boolean {
    return takeFirst(this.#lostReplies, process, statement) !== undefined;
  }

  /** The reply to the next statement of `process` and that name (`*`: any) arrives so much later. */
  delayReply(process: string, statement: string, ms: number): void {
    this.#lateReplies.push({ process, statement, ms });
  }

  /** Sends a reply on its way: now, or when it has been late enough. */
  replyInTime(process: string, statement: string, send: () => void): void {
    const late = takeFirst(this.#lateReplies, process, statement);
    if (late === undefined) return send();
    this.world.count('replies of Postgres delayed');
    const arrive = () => {
      if (this.#stalled.delete(arrive)) send();
    };
    this.#stalled.add(arrive);
    this.world.schedule(late.ms, arrive);
  }

  /** Until {@link heal}, statements of `process` hold their locks for so long before they commit. */
  slow(process: string, ms: number): void {
    this.#slowMs.set(process, ms);
  }

  slownessOf(process: string): number {
    return this.#slowMs.get(process) ?? 0;
  }

  heal(): void {
    this.#lostReplies.length = 0;
    this.#lateReplies.length = 0;
    for (const arrive of [...this.#stalled]) arrive();
    this.#slowMs.clear();
  }
}

/** Takes the first of the `faults` that is meant for such a statement. */
function takeFirst<F extends { readonly process: string; readonly statement: string }>(
  faults: F[],
  process: string,
  statement: string,
): F | undefined {
  const first = faults.findIndex(
    (fault) => fault.process === process && (fault.statement === '*' || fault.statement === statement),
  );
  return first < 0 ? undefined : faults.splice(first, 1)[0];
}

/** A process' connections to Postgres, with the deadlines and errors of the real pool. */
export class Pool {
  readonly #postgres: Postgres;
  readonly #wire: Wire;
  readonly #thread: Thread;
  readonly #process: string;
  readonly #applicationName: string;
  readonly #timeoutMs: number;
  readonly #idle: Connection[] = [];
  readonly #busy = new Set<Connection>();

  constructor(options: {
    readonly postgres: Postgres;
    readonly wire: Wire;
    readonly thread: Thread;
    readonly process: string;
    readonly applicationName: string;
    /** Of one call, as `query_timeout`. */
    readonly timeoutMs: number;
  }) {
    this.#postgres = options.postgres;
    this.#wire = options.wire;
    this.#thread = options.thread;
    this.#process = options.process;
    this.#applicationName = options.applicationName;
    this.#timeoutMs = options.timeoutMs;
  }

  readonly tasks = this.#bounded('tasks');
  readonly ownership = this.#bounded('ownership');
  readonly execution = this.#bounded('execution');

  /** Every connection is reset: calls under way fail, whatever the server makes of them. */
  cut(): void {
    for (const connection of [...this.#busy, ...this.#idle.splice(0)])
      connection.break('Connection terminated unexpectedly');
  }

  /** A store each of whose calls has connections, a deadline and an end of its own. */
  #bounded<K extends keyof Stores>(which: K): Stores[K] {
    const proxy = new Proxy({} as Stores[K], {
      get:
        (_, method) =>
        (...args: unknown[]) =>
          this.#call((stores) =>
            (stores[which] as unknown as Record<string | symbol, (...args: unknown[]) => Promise<unknown>>)[
              method
            ]?.(...args),
          ),
    });
    return proxy;
  }

  #call(work: (stores: Stores) => Promise<unknown> | undefined): Promise<unknown> {
    const connection = this.#idle.pop() ?? this.#connect();
    this.#busy.add(connection);
    return new Promise((resolve, reject) => {
      const deadline = this.#thread.clock.schedule(this.#timeoutMs, () =>
        connection.break('Query read timeout'),
      );
      const end = (settle: () => void) => {
        deadline.cancel();
        this.#busy.delete(connection);
        if (!connection.broken) this.#idle.push(connection);
        settle();
      };
      connection.onBroken = (reason) =>
        this.#thread.deliver(() => end(() => reject(new StoreUnavailableError(reason))));
      Promise.resolve(work(connection.stores)).then(
        (result) => {
          if (!connection.broken) end(() => resolve(result));
        },
        (error: unknown) => {
          const reason = error instanceof Error ? error : new Error(String(error));
          connection.answer(() => end(() => reject(reason)));
        },
      );
    });
  }

  #connect(): Connection {
    return new Connection(this.#postgres, {
      stream: this.#wire.open(),
      thread: this.#thread,
      process: this.#process,
      applicationName: this.#applicationName,
    });
  }
}

interface ConnectionOptions {
  readonly stream: Stream;
  readonly thread: Thread;
  readonly process: string;
  readonly applicationName: string;
}

/** The way of statements to the server and back, one call at a time. Broken, it serves no other. */
class Connection implements Link {
  readonly #postgres: Postgres;
  readonly #stream: Stream;
  readonly #thread: Thread;
  readonly #process: string;
  broken = false;
  onBroken: (reason: string) => void = () => {};

  readonly stores: Stores;

  constructor(postgres: Postgres, { stream, thread, process, applicationName }: ConnectionOptions) {
    this.#postgres = postgres;
    this.#stream = stream;
    this.#thread = thread;
    this.#process = process;
    this.stores = simulatedStores({ database: postgres.database, link: this, applicationName });
  }

  break(reason: string): void {
    if (this.broken) return;
    this.broken = true;
    this.onBroken(reason);
  }

  /** Brings something back to the client, unless it has stopped to listen. */
  answer(arrive: () => void): void {
    this.#stream.send('TO_CLIENT', () =>
      this.#thread.deliver(() => {
        if (!this.broken) arrive();
      }),
    );
  }

  request(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.broken) return reject(new StoreUnavailableError('Connection terminated'));
      this.#stream.send('TO_SERVER', () => {
        if (this.#postgres.up) resolve();
        else reject(new StoreUnavailableError('connect ECONNREFUSED'));
      });
    });
  }

  executed(statement: string): Promise<void> {
    const slowMs = this.#postgres.slownessOf(this.#process);
    if (statement === 'peek-due' && slowMs > 0) return this.#cutOffNowAndThen();
    if (READS.has(statement)) return Promise.resolve();
    this.#postgres.onStatement(this.#process, statement, 'executed');
    // Most commits take well under a millisecond; the locks are held that long.
    const ms = this.#postgres.world.random('commits').next() * (0.5 + slowMs);
    return new Promise((resolve) => this.#postgres.world.schedule(ms, resolve));
  }

  reply(statement: string): Promise<void> {
    this.#postgres.onStatement(this.#process, statement, 'committed');
    return new Promise((resolve) => {
      if (this.#postgres.losesReply(this.#process, statement)) {
        this.#postgres.world.count(`replies of Postgres lost to ${statement}`);
        return this.break('Connection terminated unexpectedly');
      }
      this.#postgres.replyInTime(this.#process, statement, () => this.answer(resolve));
    });
  }

  /** As by a statement's timeout, only sooner. */
  #cutOffNowAndThen(): Promise<void> {
    const { world } = this.#postgres;
    if (world.random('cut off').next() > CUT_OFF_SHARE) return Promise.resolve();
    world.count('looks cut off');
    return new Promise((_, reject) => {
      const cutOff = () =>
        reject(new StatementCancelledError('canceling statement due to statement timeout'));
      world.schedule(world.random('cut off').next() * CUT_OFF_MS, cutOff);
    });
  }
}
