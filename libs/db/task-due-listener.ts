import { Socket } from 'node:net';
import pg from 'pg';
import { backoffMs } from '../core/backoff.ts';
import type { Clock, Timer } from '../core/clock.ts';
import { sleep } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import type { TaskId } from '../core/task.ts';

export interface TaskDueListenerOptions {
  readonly url: string;
  readonly applicationName: string;
  /** Of these partitions (`'*'`: of all), some have something due from that time on, by the database's clock. */
  readonly onDue: (partitions: readonly number[] | '*', sinceMs: number) => void;
  /** A user wants this task cancelled or removed; whoever runs this attempt is to tell its handler. */
  readonly onCancel?: (id: TaskId, attempt: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  /** Sends a NOTIFY on {@link CHECK_CHANNEL}, by another connection. */
  readonly check?: () => Promise<unknown>;
  /** Whether NOTIFY reaches us, as a notification has shown; without it, polling has to do. */
  readonly onListening?: (listening: boolean) => void;
}

const CHANNEL = 'task_due';
const CANCEL_CHANNEL = 'task_cancel';
/** To find out whether anything comes: a transaction-pooling proxy takes a LISTEN and delivers nothing. */
export const CHECK_CHANNEL = 'task_due_check';
const RECONNECT = { baseMs: 100, maxMs: 5_000 };
const CONNECT_TIMEOUT_MS = 5_000;
/** A listener never sends, so that a dead network would go unnoticed. */
const HEARTBEAT_MS = 15_000;

/**
 * Wakes its owner when a submission is due soon, and tells it whom a user wants cancelled. Both are found by looking as
 * well: after each reconnect it reports `'*'`, since notifications were lost meanwhile.
 *
 * ```
 * CONNECTING ──LISTEN──▶ LISTENING ──connection lost──▶ WAITING ──backoff──▶ CONNECTING
 *     └── failed ──▶ WAITING                any ──close()──▶ CLOSED
 * ```
 */
export class TaskDueListener {
  readonly #options: TaskDueListenerOptions;
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;
  #socket: Socket | undefined;

  /** Starts connecting. */
  constructor(options: TaskDueListenerOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  /** Stops listening; no callback runs afterwards. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#socket?.destroy();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted; failures++) {
      const listened = await this.#listenUntilLost();
      if (listened) failures = 0;
      await sleep(clock, backoffMs(failures, random, RECONNECT), signal);
    }
  }

  /** One connection, from its start to its end. Whether it came to listen. */
  async #listenUntilLost(): Promise<boolean> {
    const { url, applicationName, onDue, onCancel, onListening } = this.#options;
    // Ours, to be destroyed: after `client.end()` a pending connect() never settles, and before a silent peer end()
    // does not either.
    const socket = new Socket();
    const client = new pg.Client({
      stream: () => socket,
      connectionString: url,
      application_name: applicationName,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    this.#socket = socket;
    const lost = new Promise<void>((resolve) => {
      client.once('end', resolve);
      client.on('error', () => resolve());
    });
    let heartbeat: Timer | undefined;
    let listening = false;
    let heard = false as boolean;
    client.on('notification', ({ channel, payload }) => {
      if (this.#closing.signal.aborted) return;
      if (!heard) onListening?.(true);
      heard = true;
      if (channel === CHANNEL) onDue(...parsePayload(payload));
      if (channel === CANCEL_CHANNEL) onCancel?.(...parseCancel(payload));
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}; LISTEN ${CANCEL_CHANNEL}; LISTEN ${CHECK_CHANNEL}`);
      if (this.#closing.signal.aborted) return true;
      listening = true;
      this.#options.check?.().catch(() => undefined);
      onDue('*', -Infinity);
      const beat = () => {
        heartbeat = this.#options.clock.schedule(HEARTBEAT_MS, () => {
          client.query('SELECT 1').then(beat, () => socket.destroy());
        });
      };
      beat();
      await lost;
    } catch {
      // Not reached, or lost while connecting: the caller waits and tries again.
    } finally {
      heartbeat?.cancel();
      if (heard && !this.#closing.signal.aborted) onListening?.(false);
      socket.destroy();
    }
    return listening;
  }
}

/** `MS:P,P,…` or `MS:*`; anything else is taken to say that anything may be due anywhere. */
function parsePayload(payload = ''): [partitions: readonly number[] | '*', sinceMs: number] {
  const [, time, list] = /^(\d+):(\*|[\d,]+)$/.exec(payload) ?? [];
  if (time === undefined || list === undefined) return ['*', -Infinity];
  return [list === '*' ? list : list.split(',').map(Number), Number(time)];
}

/** `ID:ATTEMPT`; of anything else, no task there is. */
function parseCancel(payload = ''): [id: TaskId, attempt: number] {
  const [id = NaN, attempt = NaN] = payload.split(':').map(Number);
  return [id, attempt];
}
