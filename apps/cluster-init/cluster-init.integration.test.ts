import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AccessControl, DigestAuth } from '../../libs/cluster/access.ts';
import { bootstrapTree } from '../../libs/cluster/bootstrap.ts';
import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { whenConnected } from '../../libs/cluster/operations.ts';
import { clusterPaths } from '../../libs/cluster/paths.ts';
import { metaCodec, planCodec } from '../../libs/cluster/records.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { createTestDatabase } from '../../libs/testing/postgres.ts';
import type { TestDatabase } from '../../libs/testing/postgres.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { bootstrap } from './bootstrap.ts';

let server: TestZooKeeper;
let zk: ZooKeeper & AccessControl;
let database: TestDatabase;
let name: string;

beforeAll(async () => {
  server = await startTestZooKeeper();
});
afterAll(() => server.stop());
beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
  name = `test-${randomUUID()}`;
  zk = connect(server.connectString);
  await whenConnected(zk, { clock: systemClock, timeoutMs: 10_000 });
});
afterEach(async () => {
  await zk.close();
  await database.drop();
});

const system = { clock: systemClock, random: systemRandom, logger: pino({ level: 'silent' }) };

function connect(connectString: string, auth?: DigestAuth): ZooKeeper & AccessControl {
  return connectZooKeeper({ connectString, auth, sessionTimeoutMs: 4_000, ...system });
}

/** The function that the process runs. */
function init(
  options: {
    partitions?: number;
    databaseUrl?: string;
    zk?: ZooKeeper & AccessControl;
    auth?: DigestAuth;
    waitMs?: number;
    log?: string[];
  } = {},
) {
  const { log, ...given } = options;
  const write = (line: string) => log?.push((JSON.parse(line) as { msg: string }).msg);
  return bootstrap({
    databaseUrl: database.url,
    zk,
    partitions: 64,
    paths: clusterPaths(name),
    stopping: new AbortController().signal,
    ...system,
    logger: pino({}, { write }),
    ...given,
  });
}

/** The process itself. */
function initProcess(env: Record<string, string> = {}): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['bin/run.mjs', 'apps/cluster-init/main.ts'],
      {
        env: {
          PATH: process.env['PATH'],
          DATABASE_URL: database.url,
          ZOOKEEPER_CONNECT: server.connectString,
          CLUSTER_NAME: name,
          LOG_FORMAT: 'json',
          ...env,
        },
      },
      (_error, stdout, stderr) => resolve({ exitCode: child.exitCode ?? -1, output: stdout + stderr }),
    );
  });
}

async function query<T extends pg.QueryResultRow>(sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Everything both places hold, versions included. */
async function everything(): Promise<unknown> {
  const znodes: [path: string, data: string, version: number][] = [];
  const visit = async (path: string): Promise<void> => {
    const { data, stat } = await zk.getData(path);
    znodes.push([path, data.toString(), stat.version]);
    for (const child of (await zk.getChildren(path)).children) await visit(`${path}/${child}`);
  };
  if ((await zk.exists(`/${name}`)) !== null) await visit(`/${name}`);
  const tables = await query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`,
  );
  const rows = [];
  for (const table of tables)
    rows.push(await query(`SELECT xmin, t.* FROM ${table.name} t ORDER BY t::text`));
  return { znodes, tables, rows };
}

describe('cluster-init', () => {
  it('makes a cluster, and run again changes nothing and exits 0', async () => {
    await init();
    const [inDatabase] = await query<{ uid: string; partitions: number }>(
      'SELECT uid, partitions FROM cluster_meta',
    );
    const meta = metaCodec.decode((await zk.getData(`/${name}/meta`)).data, 'meta');
    expect(meta).toMatchObject(inDatabase ?? {});
    expect(meta.partitions).toBe(64);
    expect(await query('SELECT count(*)::integer AS owners FROM partition_owner')).toEqual([{ owners: 64 }]);
    const plan = planCodec.decode((await zk.getData(`/${name}/plan`)).data, 'plan');
    expect([new Set(plan.target), new Set(plan.epoch)]).toEqual([new Set([-1]), new Set([0])]);

    const before = await everything();
    expect(await initProcess()).toMatchObject({ exitCode: 0 });
    expect(await everything()).toEqual(before);
  });

  it('refuses another partition count, naming both, exits 1 and changes nothing', async () => {
    await init();
    const before = await everything();
    const refused = await initProcess({ PARTITIONS: '32' });
    expect(refused.exitCode).toBe(1);
    expect(
      refused.output
        .trim()
        .split('\n')
        .filter((line) => line.includes('"fatal"')),
    ).toEqual([expect.stringMatching(/PARTITIONS is 32, but .* 64 partitions/)]);
    expect(await everything()).toEqual(before);
  });

  it('restores /meta and the tree from the database after ZooKeeper was wiped', async (context) => {
    const { faults } = server;
    if (faults === undefined) return context.skip('needs fault controls');
    const made = await init();
    await zk.close();
    faults.wipe();
    zk = connect(server.connectString);
    expect(await init()).toEqual(made);
    const meta = metaCodec.decode((await zk.getData(`/${name}/meta`)).data, 'meta');
    expect(meta).toMatchObject(made);
  });

  it('creates what is missing of a tree and leaves the rest', async () => {
    await init();
    await zk.delete(`/${name}/controller/mode`, -1);
    await zk.setData(`/${name}/plan`, Buffer.from('as it is'), -1);
    await init();
    expect(await zk.exists(`/${name}/controller/mode`)).not.toBeNull();
    expect((await zk.getData(`/${name}/plan`)).data.toString()).toBe('as it is');
  });

  it('refuses a ZooKeeper and a database that belong to two clusters', async () => {
    await init();
    const before = await everything();
    const other = `test-${randomUUID()}`;
    await bootstrapTree(zk, clusterPaths(other), { uid: 'another', partitions: 64 });
    const own = name;
    name = other;
    await expect(init()).rejects.toThrow(/ZooKeeper holds cluster another, the database cluster/);
    name = own;
    expect(await everything()).toEqual(before);
  });

  it('refuses a new database for a cluster that ZooKeeper knows', async () => {
    await bootstrapTree(zk, clusterPaths(name), { uid: 'known', partitions: 64 });
    const before = await everything();
    await expect(init()).rejects.toThrow(/the database knows no cluster/);
    expect(await everything()).toEqual(before);
  });

  it('refuses a tree of other credentials, be it complete or not, says whose it is and changes nothing', async () => {
    const auth = { user: 'scheduler', password: 'secret' };
    const owner = connect(server.connectString, auth);
    await init({ zk: owner, auth });
    await owner.delete(`/${name}/controller/mode`, -1);
    await owner.close();
    const before = await everything();
    const reserved = `10 znodes, /${name} first, are reserved to`;
    await expect(init()).rejects.toThrow(
      `${reserved} credentials, and ZOOKEEPER_AUTH is not set: it is to be scheduler:password`,
    );
    const strangers = [
      { auth: { ...auth, password: 'guessed' }, why: 'to scheduler with another password' },
      { auth: { ...auth, user: 'another' }, why: 'to scheduler, not another' },
    ];
    for (const stranger of strangers) {
      const connection = connect(server.connectString, stranger.auth);
      await expect(init({ zk: connection, auth: stranger.auth })).rejects.toThrow(
        `${reserved} others than ZOOKEEPER_AUTH: ${stranger.why}`,
      );
      await connection.close();
    }
    expect(await everything()).toEqual(before);
  });

  it('run by several at once makes one cluster', async () => {
    const made = await Promise.all([init(), init(), init()]);
    expect(new Set(made.map((meta) => meta.uid)).size).toBe(1);
  });

  it('waits for ZooKeeper to come up', async () => {
    await server.down();
    await eventually('the connection is down', () => zk.state.kind !== 'CONNECTED', { withinMs: 10_000 });
    const waiting = init();
    await server.up();
    expect(await waiting).toMatchObject({ partitions: 64 });
  });

  it('says what it waits for, once, and gives up in time', async () => {
    const log: string[] = [];
    const nowhere = 'postgres://nobody@127.0.0.1:1/nothing';
    await expect(init({ databaseUrl: nowhere, waitMs: 600, log })).rejects.toThrow(
      /^Postgres cannot be reached: /,
    );
    expect(log).toEqual([expect.stringMatching(/^waiting for Postgres: /)]);

    const unreachable = connect('127.0.0.1:1');
    await expect(init({ zk: unreachable, waitMs: 100 })).rejects.toThrow(/^ZooKeeper cannot be reached/);
    await unreachable.close();
  });
});
