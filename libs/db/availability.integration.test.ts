import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AS_NEW } from '../testing/as-new.ts';
import { createTestDatabase, startPrivatePostgres } from '../testing/postgres.ts';
import type { PrivatePostgres, TestDatabase } from '../testing/postgres.ts';
import { bootstrapDatabase } from './bootstrap.ts';
import { createPool, workerApplicationName } from './client.ts';
import { migrate } from './migrate.ts';
import { postgresOwnershipStore } from './postgres-ownership-store.ts';
import { postgresTaskStore } from './postgres-task-store.ts';
import { run, runForOne } from './statement.ts';
import { InvalidInputError, StoreNotInitialisedError, StoreUnavailableError } from './stores.ts';

const NEW_TASK = { name: 'x', key: null, payload: null, scheduledAtMs: null };

describe('a database that is away', () => {
  let postgres: PrivatePostgres;
  beforeAll(async () => {
    postgres = await startPrivatePostgres();
    await migrate({ url: postgres.url });
    await bootstrapDatabase({ url: postgres.url, uid: 'uid-1', partitions: 4 });
  });
  afterAll(() => postgres.stop());

  it('is unavailable to every store, ends no process, and serves again once it is back', async () => {
    const idleErrors: Error[] = [];
    const db = createPool({
      url: postgres.url,
      applicationName: 'x',
      size: 2,
      onIdleError: (error) => idleErrors.push(error),
    });
    const tasks = postgresTaskStore({ db });
    await tasks.ping();
    const [acknowledged] = await tasks.insert([NEW_TASK]);

    await postgres.halt();
    await expect(tasks.insert([NEW_TASK])).rejects.toThrow(StoreUnavailableError);
    await expect(tasks.get(1)).rejects.toThrow(StoreUnavailableError);
    await expect(tasks.cluster()).rejects.toThrow(StoreUnavailableError);
    await expect(tasks.ping()).rejects.toThrow(StoreUnavailableError);
    await expect(postgresOwnershipStore({ db }).renew('a', ['i'], 1_000)).rejects.toThrow(
      StoreUnavailableError,
    );
    await expect(migrate({ url: postgres.url })).rejects.toThrow(StoreUnavailableError);
    expect(idleErrors.length).toBeGreaterThan(0);

    await postgres.resume();
    expect(await tasks.get(acknowledged?.id ?? 0)).toEqual({ ...AS_NEW, ...NEW_TASK, ...acknowledged });
    await db.end();
  });

  it('that accepts connections and stays silent is unavailable, after the connect timeout', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const db = createPool({ url: `postgres://x@127.0.0.1:${port}/x`, applicationName: 'x', size: 1 });
    await expect(postgresTaskStore({ db }).ping()).rejects.toThrow(StoreUnavailableError);
    for (const socket of sockets) socket.destroy();
    silent.close();
    await db.end();
  });

  it('that does not let us in is unavailable', async () => {
    const url = new URL(postgres.url);
    url.password = 'wrong';
    const db = createPool({ url: url.href, applicationName: 'x', size: 1 });
    await expect(postgresTaskStore({ db }).ping()).rejects.toThrow(StoreUnavailableError);
    await db.end();
  });
});

describe('a database that is there', () => {
  let database: TestDatabase;
  let empty: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    empty = await createTestDatabase({ migrated: false });
  });
  afterAll(async () => {
    await database.drop();
    await empty.drop();
  });

  it.each(['empty', 'migrated'])('but only %s says that cluster-init has not been', async (state) => {
    const { url } = state === 'empty' ? empty : database;
    const db = createPool({ url, applicationName: 'x', size: 1 });
    const tasks = postgresTaskStore({ db });
    await expect(tasks.readMeta()).rejects.toThrow(StoreNotInitialisedError);
    await expect(tasks.ping()).rejects.toThrow(StoreNotInitialisedError);
    await expect(tasks.insert([NEW_TASK])).rejects.toThrow(StoreNotInitialisedError);
    await expect(tasks.insert(Array(1_000).fill(NEW_TASK))).rejects.toThrow(StoreNotInitialisedError);
    await expect(postgresOwnershipStore({ db }).readMeta()).rejects.toThrow(StoreNotInitialisedError);
    await db.end();
  });

  it('gives sessions deadlines and the application’s name', async () => {
    const name = workerApplicationName('6f2c8d1e-0000-4000-8000-000000000000');
    const db = createPool({ url: database.url, applicationName: name, size: 1 });
    const { rows } = await db.query(
      `SELECT name, setting::integer AS ms FROM pg_settings
       WHERE name IN ('statement_timeout', 'transaction_timeout', 'tcp_user_timeout') AND setting = '0'`,
    );
    expect(rows).toEqual([]);
    expect((await db.query('SHOW application_name')).rows).toEqual([{ application_name: name }]);
    await db.end();
  });

  it('tells a deadlock’s victim to try again, and does so itself', async () => {
    const db = createPool({ url: database.url, applicationName: 'x', size: 1 });
    await db.query('CREATE SEQUENCE tries');
    // As a deadlock would end it: the transaction is undone, which a sequence is not.
    const victim = `DO $$ BEGIN IF nextval('tries') < 3 THEN RAISE SQLSTATE '40P01'; END IF; END $$`;
    await run(db, { name: '', text: victim }, []);
    expect((await db.query('SELECT last_value::integer AS n FROM tries')).rows).toEqual([{ n: 3 }]);
    const always = `DO $$ BEGIN PERFORM nextval('tries'); RAISE SQLSTATE '40P01'; END $$`;
    await expect(run(db, { name: '', text: always }, [])).rejects.toThrow(StoreUnavailableError);
    expect((await db.query('SELECT last_value::integer AS n FROM tries')).rows).toEqual([{ n: 9 }]);
    await db.end();
  });

  it('leaves a fault of ours as it is', async () => {
    const db = createPool({ url: database.url, applicationName: 'x', size: 1 });
    await expect(run(db, { name: '', text: 'SELEC 1' }, [])).rejects.toMatchObject({ code: '42601' });
    await expect(run(db, { name: '', text: 'SELECT $1::integer' }, ['x'])).rejects.toThrow(InvalidInputError);
    await db.end();
  });

  it('has bigints as numbers, and none that a number cannot hold', async () => {
    const db = createPool({ url: database.url, applicationName: 'x', size: 1 });
    expect(await runForOne(db, { name: '', text: 'SELECT 9007199254740991::bigint AS n' }, [])).toEqual({
      n: Number.MAX_SAFE_INTEGER,
    });
    await expect(
      runForOne(db, { name: '', text: 'SELECT 9007199254740993::bigint AS n' }, []),
    ).rejects.toThrow('no safe integer');
    await db.end();
  });
});
