/**
 * What docs/adr/0009 proposes, without the project: claims that are records of batches, each task's row written once.
 * As raw-sql.ts, two connections of one process; payloads come with the claim.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { bootstrapDatabase } from '../../../libs/db/bootstrap.ts';
import { migrate } from '../../../libs/db/migrate.ts';
import type { Peer } from '../peer.ts';
import { groups } from '../peer.ts';

const PARTITIONS = 64;
const INCARNATION = 'records-1';
const BATCH = 500;
const POLL_MS = 20;

type Claimed = readonly [
  id: number,
  name: string,
  partition: number,
  attempt: number,
  failures: number,
  scheduledMs: number,
  payload: { readonly sample: number },
  dueAt: string,
];

const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition);
const everywhere = <T>(value: T) => partitions.map(() => value);

/** @param complete the function of schema.sql that records what has ended */
export function claimRecords(complete: 'complete_in_place' | 'complete_and_move'): Peer {
  return {
    client(url) {
      const pool = new pg.Pool({ connectionString: url, max: 4 });
      return Promise.resolve({
        async install() {
          await migrate({ url });
          await bootstrapDatabase({ url, uid: randomUUID(), partitions: PARTITIONS });
          await pool.query(await readFile(new URL('./schema.sql', import.meta.url), 'utf8'));
        },
        async load(all, dueAtMs) {
          for (const samples of groups(all, 5_000))
            await pool.query(
              `INSERT INTO open_task (partition_id, name, payload, scheduled_at, due_at)
               SELECT partition_of(sample::text, $2), 'noop', jsonb_build_object('sample', sample), due, due
               FROM unnest($1::integer[], $3::double precision[]) AS s (sample, due_ms),
                    coalesce(to_timestamp(due_ms / 1000), now()) AS due`,
              [samples, PARTITIONS, samples.map((sample) => dueAtMs(sample) ?? null)],
            );
        },
        submit: () => Promise.reject(new Error('nothing is submitted one by one here')),
        async settled() {
          const { rows } = await pool.query(`SELECT FROM open_task WHERE status = 'PENDING' LIMIT 1`);
          return rows.length === 0;
        },
        close: () => pool.end(),
      });
    },

    async work(url, onStart) {
      const connect = async () => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        return client;
      };
      const [claiming, finishing] = await Promise.all([connect(), connect()]);
      await claiming.query(
        'UPDATE partition_owner SET epoch = 1, owner = $1, incarnation = $1, acquired_at = now()',
        [INCARNATION],
      );
      // Where each partition's backlog has been claimed up to.
      const afterDue = everywhere('-infinity');
      const afterId = everywhere(0);

      const claim = async (id: string): Promise<readonly Claimed[]> => {
        const { rows } = await claiming.query<{ tasks: readonly Claimed[] }>({
          name: 'claim',
          text: 'SELECT claim_batch($1, $2, $3, $4, $5, $6, $7, $8) AS tasks',
          values: [
            ...[partitions, everywhere(1), everywhere(INCARNATION), afterDue, afterId],
            ...[id, INCARNATION, BATCH],
          ],
        });
        const tasks = rows[0]?.tasks ?? [];
        for (const [taskId, , partition, , , , , dueAt] of tasks)
          [afterDue[partition], afterId[partition]] = [dueAt, taskId];
        return tasks;
      };
      const finish = async (tasks: readonly Claimed[], claimId: string) => {
        await finishing.query({
          name: 'finish',
          text: `SELECT ${complete}($1, $2, $3, $4)`,
          values: [tasks.map(([id]) => id), tasks.map((task) => task[3]), INCARNATION, [claimId]],
        });
      };

      let closing = false;
      const loop = async () => {
        let id: string = randomUUID();
        let tasks = await claim(id);
        while (!closing) {
          for (const task of tasks) onStart(task[6].sample);
          const nextId = randomUUID();
          const [next] = await Promise.all([claim(nextId), tasks.length > 0 ? finish(tasks, id) : undefined]);
          if (next.length === 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
          [tasks, id] = [next, nextId];
        }
      };
      const done = loop();
      done.catch((error: unknown) => {
        console.error(error);
        process.exit(1);
      });
      return {
        async close() {
          closing = true;
          await done;
          await Promise.all([claiming.end(), finishing.end()]);
        },
      };
    },
  };
}
