/** The project's own task table, as its API fills it and its workers leave it. */
import pg from 'pg';
import { inTransaction, withConnection } from '../../libs/db/client.ts';
import { postgresTaskStore } from '../../libs/db/postgres-task-store.ts';
import { numbers } from '../../libs/db/statement.ts';
import type { NewTask } from '../../libs/db/stores.ts';
import type { Payload, Peer, PeerClient } from './peer.ts';
import { groups } from './peer.ts';

/** No handler of its own. */
const NAME = 'noop';
/** The built-in handler that sleeps as its payload says. */
const SLEEPING = 'demo';
/** As the peers have; never are so many INSERTs under way. */
const POOL_SIZE = 32;

/** A client of a database that cluster-init, or `install`, has made. */
export function projectTasks(url: string, install: () => Promise<void>): PeerClient {
  const pool = new pg.Pool({ connectionString: url, max: POOL_SIZE });
  const pooled = postgresTaskStore({ db: pool });
  const toTask = (payload: Payload, scheduledAtMs?: number): NewTask => ({
    name: payload.sleepMs === undefined ? NAME : SLEEPING,
    key: null,
    payload: { ...payload },
    scheduledAtMs: scheduledAtMs === undefined ? null : Math.round(scheduledAtMs),
  });
  // Of the tasks that were added since all were done: the first, and one above which none is left to do.
  let lowest = 0;
  let highest = Number.MAX_SAFE_INTEGER;
  return {
    install,
    async load(all, dueAtMs) {
      if (highest === 0) lowest = 0;
      highest = Number.MAX_SAFE_INTEGER;
      // In one transaction: workers that run already see all of them at once.
      await withConnection(url, (client) =>
        inTransaction(client, async () => {
          const store = postgresTaskStore({ db: client });
          for (const payloads of groups(all, 5_000)) {
            const records = await store.insert(payloads.map((payload) => toTask(payload, dueAtMs(payload))));
            lowest ||= records[0]?.id ?? 0;
          }
        }),
      );
    },
    submit: groupCommit((samples) => pooled.insert(samples.map((sample) => toTask({ sample })))),
    /** Not as the API does it, but as little as it could: partitions by number, nobody notified. */
    async submitMany(samples) {
      await pool.query({
        name: 'insert-raw',
        text: `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
               SELECT p, $3, payload::json, now(), date_trunc('milliseconds', now())
               FROM unnest($1::integer[], string_to_array($2, E'\\n')) AS t (p, payload)`,
        values: [
          numbers(samples.map((sample) => sample % 64)),
          samples.map((sample) => `{"sample":${sample}}`).join('\n'),
          NAME,
        ],
      });
    },
    async settled() {
      const { rows } = await pool.query<{ id: string }>(
        `SELECT id FROM task WHERE id BETWEEN $1 AND $2 AND status = 'PENDING'
         ORDER BY id DESC LIMIT 1`,
        [lowest, highest],
      );
      highest = Number(rows[0]?.id ?? 0);
      return rows.length === 0;
    },
    close: () => pool.end(),
  };
}

/** As the API does: what comes during one INSERT is written by the next. */
function groupCommit(
  insert: (samples: readonly number[]) => Promise<unknown>,
): (sample: number) => Promise<void> {
  let group: number[] = [];
  let last = Promise.resolve();
  let next: Promise<void> | undefined;
  return (sample) => {
    group.push(sample);
    return (next ??= last
      .catch(() => undefined)
      .then(async () => {
        const samples = group;
        group = [];
        last = next ?? last;
        next = undefined;
        await insert(samples);
      }));
  };
}

export const peer: Peer = {
  client: (url) => Promise.resolve(projectTasks(url, () => Promise.resolve())),
  work: () => Promise.reject(new Error('the workers are the project’s own processes')),
};
