/** A database of the project's that holds many tasks already. */
import { randomUUID } from 'node:crypto';
import { bootstrapDatabase } from '../libs/db/bootstrap.ts';
import { migrate } from '../libs/db/migrate.ts';
import type { Bench } from './bench.ts';
import { execute } from './servers/postgres.ts';

const PARTITIONS = 64;

export interface Beside {
  /** Due within a month, from tomorrow on. */
  readonly future: number;
  readonly finished: number;
  /** Finished over a week ago; stored before the others. */
  readonly old?: number;
}

/** What creates a database `name`, and resolves with its URL. */
export interface WithAndWithout {
  /** Such a database: the first call fills one as a template, and every call copies it. */
  readonly beside: () => Promise<string>;
  /** An empty one, after the template has been copied as well, to nowhere: the disk has as much behind it. */
  readonly alone: () => Promise<string>;
}

export function besideMany(bench: Bench, name: string, beside: Beside): WithAndWithout {
  let template: Promise<string> | undefined;
  const copyTo = async (copy: string) =>
    bench.postgres.create(copy, await (template ??= makeTemplate(bench, name, beside)));
  return {
    beside: () => copyTo(name),
    async alone() {
      await copyTo(`${name}-not-used`);
      return bench.postgres.create(name);
    },
  };
}

export function describeBeside({ future, finished, old = 0 }: Beside): string {
  const others = `${count(future)} tasks due within a month, from tomorrow on, and ${count(finished)} finished ones`;
  const before = `${count(old)} tasks that finished over a week ago`;
  if (old === 0) return others;
  return future + finished === 0 ? before : `${before}, ${others}`;
}

/** @returns its name */
async function makeTemplate({ postgres, say }: Bench, of: string, beside: Beside): Promise<string> {
  say(`storing ${describeBeside(beside)} …`);
  const { old = 0 } = beside;
  const name = `${of}-beside-${beside.future}-${beside.finished}-${old}`;
  const url = await postgres.create(name);
  await migrate({ url });
  await bootstrapDatabase({ url, uid: randomUUID(), partitions: PARTITIONS });
  // As the API and the workers store them, but for the partition, which is as good as any other.
  await execute(
    url,
    `INSERT INTO task (partition_id, status, attempt, name, payload, scheduled_at, due_at, created_at, started_at,
                       completed_at, incarnation, worker_id)
     SELECT n % $2, 'COMPLETED', 1, 'noop', '{}', t, t, t, t, t, 'worker-0~1', 'worker-0'
     FROM (SELECT n, now() - interval '8 days' - ($1 - n) * interval '1 millisecond' AS t
           FROM generate_series(1, $1) AS n) AS old`,
    [old, PARTITIONS],
  );
  await execute(
    url,
    `INSERT INTO task (partition_id, name, payload, scheduled_at, due_at)
     SELECT n % $2, 'noop', '{}', t, t
     FROM (SELECT n, now() + interval '1 day' + random() * interval '30 days' AS t
           FROM generate_series(1, $1) AS n) AS future`,
    [beside.future, PARTITIONS],
  );
  await execute(
    url,
    `INSERT INTO task (partition_id, status, attempt, name, payload, scheduled_at, due_at, started_at, completed_at,
                       incarnation, worker_id)
     SELECT n % $2, 'COMPLETED', 1, 'noop', '{}', t, t, t, t, 'worker-0~1', 'worker-0'
     FROM (SELECT n, now() - n * interval '1 millisecond' AS t FROM generate_series(1, $1) AS n) AS finished`,
    [beside.finished, PARTITIONS],
  );
  await postgres.settle(url);
  return name;
}

const count = (n: number) => n.toLocaleString('en');
