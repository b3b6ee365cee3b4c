/** What a peer does in a process of its own (peer-process.ts). */
import type { WorkOn } from './contestant.ts';

/** What a task carries. */
export interface Payload {
  /** Its number. */
  readonly sample: number;
  readonly text?: string;
  /** How long it takes; for this project's only. */
  readonly sleepMs?: number;
}

export interface PeerClient {
  /** Makes its tables, or whatever its queue lives in. */
  readonly install: () => Promise<void>;
  /** Adds tasks in bulk. @param dueAtMs undefined: at once */
  readonly load: (
    payloads: readonly Payload[],
    dueAtMs: (payload: Payload) => number | undefined,
  ) => Promise<void>;
  /** Adds the task of this number, due at once. */
  readonly submit: (sample: number) => Promise<void>;
  /** Adds those of these numbers, due at once, in one call of its client. */
  readonly submitMany: (samples: readonly number[]) => Promise<void>;
  /** Whether no task that was added is left to do. */
  readonly settled: () => Promise<boolean>;
  readonly close: () => Promise<void>;
}

export interface PeerWorker {
  close(): Promise<void>;
}

/** A module of each peer exports one, as `peer`. `url` is its database's, or its Redis'. */
export interface Peer {
  client(url: string): Promise<PeerClient>;
  /** Works until it is closed. @param onStart to be called first of all by each task's handler */
  work(url: string, onStart: (sample: number) => void, on: WorkOn): Promise<PeerWorker>;
}

/** The same in order, in groups of at most `size`. */
export function* groups<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let first = 0; first < all.length; first += size) yield all.slice(first, first + size);
}
