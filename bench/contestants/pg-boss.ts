/**
 * pg-boss: large batches, fetched again at once while they come back full, and NOTIFY for what is new. Options as in docs/api/workers.md and
 * docs/api/queues.md of https://github.com/timgit/pg-boss, version 12.
 * Of a backlog of 100,000 two workers with batches of 8,000 made 34,600 a second; with batches of 4,000 0.85 of that, of 16,000 1.05, of 1,000 0.7; three
 * workers 0.89, one 0.5 (medians of three to six rounds in turn).
 */
import { PgBoss } from 'pg-boss';
import type { Payload, Peer } from './peer.ts';
import { groups } from './peer.ts';

const QUEUE = 'noop';
/** The larger the faster, but what does not fill one waits for the next poll. */
const BATCH_SIZE = { BACKLOG: 8_000, STREAM: 1_000 };
const WORKERS = 2;
/** The shortest there is: what was not due yet when it came is found by polling only. */
const POLL_S = 0.5;
/** Enough for 32 submissions in flight. */
const CLIENT_POOL_SIZE = 32;

/** The client leaves the housekeeping to the worker. */
const clientOnly = { supervise: false, schedule: false, max: CLIENT_POOL_SIZE };

function open(options: ConstructorParameters<typeof PgBoss>[0]): PgBoss {
  return new PgBoss(options).on('error', (error) => console.error(error));
}

export const peer: Peer = {
  async client(url) {
    const boss = open({ connectionString: url, ...clientOnly });
    await boss.start();
    const any = async (condition: string) => {
      const { rows } = await boss
        .getDb()
        .executeSql(`SELECT 1 FROM pgboss.job WHERE name = $1 AND ${condition} LIMIT 1`, [QUEUE]);
      return rows.length > 0;
    };
    const add = (payloads: readonly Payload[], dueAtMs: (payload: Payload) => number | undefined) =>
      boss.insert(
        QUEUE,
        payloads.map((payload) => {
          const startAfter = dueAtMs(payload);
          return { data: payload, ...(startAfter !== undefined && { startAfter: new Date(startAfter) }) };
        }),
      );
    return {
      install: () => boss.createQueue(QUEUE, { notify: true }),
      async load(all, dueAtMs) {
        for (const payloads of groups(all, 5_000)) await add(payloads, dueAtMs);
      },
      async submitMany(samples) {
        await add(
          samples.map((sample) => ({ sample })),
          () => undefined,
        );
      },
      async submit(sample) {
        await boss.send(QUEUE, { sample });
      },
      async settled() {
        // The last to be fetched, by the index they are fetched by: those that were before leave dead entries.
        const waits = `state < 'active' AND NOT blocked ORDER BY priority, created_on DESC`;
        return !(await any(waits)) && !(await any(`state = 'active'`));
      },
      close: () => boss.stop({ graceful: false }),
    };
  },

  async work(url, onStart, on) {
    const boss = open({ connectionString: url, useListenNotify: true });
    await boss.start();
    const options = { batchSize: BATCH_SIZE[on], localConcurrency: WORKERS, burstWhenBatchFull: true };
    await boss.work(
      QUEUE,
      { ...options, pollingIntervalSeconds: POLL_S, notifyPollingIntervalSeconds: POLL_S },
      (jobs) => {
        for (const { data } of jobs) onStart((data as Payload).sample);
        return Promise.resolve();
      },
    );
    return { close: () => boss.stop({ graceful: true }) };
  },
};
