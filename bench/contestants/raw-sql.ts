/**
 * The limit: the project's two hot statements, from one small process without the project. One connection claims a
 * batch while another records the last one. Payloads are not read, nothing is logged.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { bootstrapDatabase } from '../../libs/db/bootstrap.ts';
import { migrate } from '../../libs/db/migrate.ts';
import { loadStatement } from '../../libs/db/statement.ts';
import type { Peer } from './peer.ts';
import { projectTasks } from './project-tasks.ts';

const PARTITIONS = 64;
const WORKER = 'raw-sql';
const INCARNATION = 'raw-sql-1';
const BATCH = 500;
const POLL_MS = 20;

const claimTasks = loadStatement('claim-tasks');
const finishTasks = loadStatement('finish-tasks');

type Claimed = readonly [
  id: number,
  name: string,
  partition: number,
  epoch: number,
  incarnation: string,
  attempt: number,
];

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
      await client.query('SET plan_cache_mode = force_generic_plan');
      return client;
    };
    const [claiming, finishing] = await Promise.all([connect(), connect()]);
    await claiming.query(
      'UPDATE partition_owner SET epoch = 1, owner = $1, incarnation = $2, acquired_at = now()',
      [WORKER, INCARNATION],
    );

    const claim = async (): Promise<readonly Claimed[]> => {
      const values = [partitions, everywhere(1), everywhere(INCARNATION), randomUUID(), WORKER, BATCH];
      const { rows } = await claiming.query<{ tasks: readonly Claimed[] }>({ ...claimTasks, values });
      return rows[0]?.tasks ?? [];
    };
    const finish = async (tasks: readonly Claimed[]) => {
      const each = <T>(value: T) => tasks.map(() => value);
      const ids = tasks.map(([id]) => id);
      const attempts = tasks.map((task) => task[5]);
      const values = [ids, attempts, each(INCARNATION), each('COMPLETED'), each(null), each(null)];
      await finishing.query({ ...finishTasks, values });
    };

    let closing = false;
    const loop = async () => {
      let tasks = await claim();
      while (!closing) {
        for (const [id] of tasks) onStart(id);
        const [next] = await Promise.all([claim(), tasks.length > 0 ? finish(tasks) : undefined]);
        if (next.length === 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        tasks = next;
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
