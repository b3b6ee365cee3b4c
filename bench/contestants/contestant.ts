/** What a scenario asks of everyone it measures. */
import type { BulkFlood, Flood, Flooded, Trickle } from '../submitting.ts';

/** `count` tasks, numbered: their samples. */
export interface Load {
  readonly count: number;
  /** The number of the first, 0 by default. */
  readonly first?: number;
  /** When they are due: evenly, the first at a time given. Without it all of them are, at once. */
  readonly due?: { readonly fromMs: number; readonly perSecond: number };
  /** How long a text the payload of each has, 0 by default. */
  readonly textLength?: number;
}

/** Tasks that take some time; of this project's only. */
export interface LongLoad extends Load {
  readonly sleepMs: number;
}

/** When something happened to a sample, by the machine's clock. */
export type Moment = readonly [sample: number, atMs: number];

/** What a worker is to work on: what is due already when it starts, or what comes while it works. A peer may be set up differently. */
export type WorkOn = 'BACKLOG' | 'STREAM';

/**
 * One measurement: `start`, any of the others, `stop`. Each has a database and processes of its own, all new: nothing
 * of one measurement is left in the next.
 */
export interface Contestant {
  readonly name: string;
  /** How it is set up, for the reader of the results. */
  readonly setup: string;
  /** Of its Postgres database, once it has been started; undefined where it has none. */
  readonly postgresUrl: string | undefined;
  /** An empty queue, and a process that submits; nothing works on it yet. */
  start(): Promise<void>;
  /** Fills the queue, in bulk. */
  load(load: Load): Promise<void>;
  /** Starts a worker process; another one when it is called again. */
  work(on: WorkOn): Promise<void>;
  /** Resolves once all workers work on whatever comes. */
  ready(): Promise<void>;
  /** Whether each task that is due has ended, by what is recorded. Throws where the worker has died. */
  settled(): Promise<boolean>;
  /** Every handler start so far. */
  starts(): Promise<readonly Moment[]>;
  /** Submits one at a time, with pauses; returns when each was sent. */
  trickle(trickle: Trickle): Promise<readonly Moment[]>;
  /** Submits one by one, many at the same time, as fast as it goes. */
  flood(flood: Flood): Promise<Flooded>;
  /** Submits many at a time, likewise. */
  floodBulk(flood: BulkFlood): Promise<Flooded>;
  /** Ends all that `start` and `work` have started. Idempotent. */
  stop(): Promise<void>;
}
