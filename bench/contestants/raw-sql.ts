/**
 * The limit: the project's two hot statements, from one small process without the project. One connection claims a
 * batch while others read what payloads did not come with the last one, and record it. Nothing is logged.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { bootstrapDatabase } from '../../libs/db/bootstrap.ts';
import { migrate } from '../../libs/db/migrate.ts';
import { loadStatement, numbers } from '../../libs/db/statement.ts';
import type { Peer } from './peer.ts';
import { projectTasks } from './project-tasks.ts';

const PARTITIONS = 64;
const WORKER = 'raw-sql';
const INCARNATION = 'raw-sql-1';
const BATCH = 1_000;
/** Of a claim while there is a backlog, in turn; otherwise a claim is of all partitions. */
const CLAIM_PARTITIONS = 16;
const POLL_MS = 1;

const claimTasks = loadStatement('claim-tasks');
const finishTasks = loadStatement('finish-tasks');
const taskPayloads = loadStatement('task-payloads');

type Claimed = readonly [
  id: number,
  name: string,
  partition: number,
  attempt: number,
  failures: number,
  dueMs: number,
  more: unknown,
  payload?: { readonly sample: number },
];

interface Claim {
  readonly now_ms: number;
  readonly held: readonly number[];
  readonly oldest: readonly number[];
  readonly record_id: string;
  readonly tasks: string;
}

interface Batch {
  readonly claimedMs: number;
  readonly record: number;
  readonly tasks: readonly Claimed[];
}

const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition);
const everywhere = <T>(value: T) => partitions.map(() => value);

export const peer: Peer = {
  client: (url) =>
    Promise.resolve(
      projectTasks(url, async () => {
        await migrate({ url });
        await bootstrapDatabase({ url, uid: randomUUID(), partitions: PARTITIONS });
      }),
    ),

  async work(url, onStart) {
    const connect = async () => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      // As on the project's own connections.
      await client.query('SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off');
      return client;
    };
    const [claiming, reading, finishing] = await Promise.all([connect(), connect(), connect()]);
    await claiming.query(
      'UPDATE partition_owner SET epoch = 1, owner = $1, incarnation = $2, acquired_at = now()',
      [WORKER, INCARNATION],
    );

    // Where the claims have got to in each partition.
    const afterDueMs = everywhere<number | null>(null);
    const afterId = everywhere<number | null>(null);
    const recordsFrom = everywhere<number | null>(null);
    let turn = 0;
    let backlog = true;
    const claim = async (): Promise<Batch> => {
      const some = backlog ? partitions.slice(turn, turn + CLAIM_PARTITIONS) : partitions;
      turn = (turn + CLAIM_PARTITIONS) % PARTITIONS;
      const of = <T>(values: readonly T[]) =>
        some.flatMap((partition) => values.slice(partition, partition + 1));
      const values = [
        ...[
          numbers(some),
          numbers(of(everywhere(1))),
          of(everywhere(INCARNATION)),
          numbers(of(afterDueMs)),
          numbers(of(afterId)),
          numbers(of(recordsFrom)),
        ],
        ...[randomUUID(), WORKER, BATCH, [], false],
      ];
      const { rows } = await claiming.query<Claim>({ ...claimTasks, values });
      const [reply] = rows;
      if (reply === undefined) throw new Error('a claim returns one row');
      const { now_ms, held, oldest, record_id, tasks } = reply;
      for (const [index, partition] of held.entries()) recordsFrom[partition] = oldest[index] ?? null;
      const claimed = JSON.parse(tasks) as readonly Claimed[];
      backlog = claimed.length === BATCH;
      // Where all was taken, the next is looked for from the beginning: what is committed later may be due earlier.
      if (!backlog) for (const partition of held) afterDueMs[partition] = afterId[partition] = null;
      else
        for (const [id, , partition, , , dueMs] of claimed)
          [afterDueMs[partition], afterId[partition]] = [dueMs, id];
      return { claimedMs: now_ms, record: Number(record_id), tasks: claimed };
    };
    const start = async ({ tasks, record }: Batch) => {
      const apart = tasks.filter(([, , , , , , , payload]) => payload === undefined);
      for (const [, , , , , , , payload] of tasks) if (payload !== undefined) onStart(payload.sample);
      if (apart.length === 0) return;
      const values = [
        numbers(apart.map(([id]) => id)),
        numbers(apart.map(([, , , attempt]) => attempt)),
        apart.map(() => INCARNATION),
        numbers(apart.map(([, , partition]) => partition)),
        numbers(apart.map(() => record)),
      ];
      const { rows } = await reading.query<{ payload: { sample: number } }>({ ...taskPayloads, values });
      for (const { payload } of rows) onStart(payload.sample);
    };
    const finish = async ({ tasks, claimedMs, record }: Batch) => {
      const settled = [...new Set(tasks.map(([, , partition]) => partition))];
      const values = [
        ...[settled, settled.map(() => record), tasks.map(([id]) => id)].map(numbers),
        ...[tasks.map(([, , , attempt]) => attempt), tasks.map(() => 1), tasks.map(() => claimedMs)].map(
          numbers,
        ),
        ...[INCARNATION, WORKER, [], [], [], [], []],
      ];
      await finishing.query({ ...finishTasks, values });
    };

    let closing = false;
    const loop = async () => {
      // Claims run ahead: two outcomes are under way at most, one of them waiting for the other.
      let earlier: Promise<void> | undefined;
      let latest: Promise<void> | undefined;
      while (!closing) {
        const batch = await claim();
        if (batch.tasks.length === 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        else {
          await earlier;
          earlier = latest;
          latest = start(batch).then(() => finish(batch));
        }
      }
      await Promise.all([earlier, latest]);
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
        await Promise.all([claiming.end(), reading.end(), finishing.end()]);
      },
    };
  },
};
