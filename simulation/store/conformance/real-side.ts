import pg from 'pg';
import { postgresExecutionStore } from '../../../libs/db/postgres-execution-store.ts';
import { postgresOwnershipStore } from '../../../libs/db/postgres-ownership-store.ts';
import { postgresTaskStore } from '../../../libs/db/postgres-task-store.ts';
import { StoreUnavailableError } from '../../../libs/db/stores.ts';
import type { DatabaseUnderTest } from '../../../libs/testing/database-under-test.ts';
import { comparable, comparablePayload, inOrder, settingsOf, SHARD_FROM, TIMES, UnderWay } from './script.ts';
import type { Ending, Line, Setting, Side, Step, Stores, World } from './script.ts';

const WITHIN_MS = 20_000;

interface Connection {
  readonly client: pg.Client;
  readonly pid: number;
  readonly stores: Stores;
  lost: boolean;
}

/** Every `end()` leaves the connections open for the next script. */
export class RealSide implements Side {
  readonly #database: DatabaseUnderTest;
  readonly #connections = new Map<string, Connection>();
  #listener: pg.Client | undefined;
  #underWay = new UnderWay();
  #notified: string[] = [];
  #beginMs = 0;

  constructor(database: DatabaseUnderTest) {
    this.#database = database;
  }

  async close(): Promise<void> {
    for (const { client } of this.#connections.values()) await client.end();
    await this.#listener?.end();
  }

  async prepare(world: World): Promise<void> {
    const { pool } = this.#database;
    this.#underWay = new UnderWay();
    await pool.query('DELETE FROM task; DELETE FROM claim_record; DELETE FROM worker_session');
    await pool.query('ALTER SEQUENCE task_id_seq RESTART; ALTER SEQUENCE claim_record_id RESTART');
    await pool.query(
      'UPDATE partition_owner SET epoch = 0, owner = NULL, incarnation = NULL, acquired_at = NULL',
    );
    const { rows } = await pool.query<{ ms: number }>(
      'SELECT (extract(epoch FROM now()) * 1000)::float8 AS ms',
    );
    this.#beginMs = rows[0]?.ms ?? Number.NaN;
    await this.#database.tasks.insert(
      world.tasks.map((_, index) => ({
        name: `t${index + 1}`,
        key: null,
        payload: index,
        scheduledAtMs: null,
      })),
    );
    for (const setting of settingsOf(world)) await this.#set(pool, setting);
    await this.#listen();
  }

  async perform(step: Step): Promise<Line> {
    const connection = await this.#connection(step.by);
    const { act } = step;
    // No two transactions begin in one millisecond, which is what times are cut to.
    const lastMs = Date.now();
    await this.#until(() => Date.now() > lastMs);
    if (typeof act !== 'object' || 'set' in act) {
      this.#underWay.start(step.by, this.#act(connection, act), this.#beginMs);
    } else await this.#until(() => !this.#underWay.pending.includes(step.by));
    await this.#until(() => this.#nothingMoves());
    return this.#underWay.line(step);
  }

  async end(): Promise<Ending> {
    for (let open = [...this.#connections.values()]; open.length > 0;) {
      const pids = new Set(this.#underWay.pending.map((by) => this.#connections.get(by)?.pid));
      const free = open.filter(({ pid }) => !pids.has(pid));
      for (const { client } of free) await client.query('ROLLBACK').catch(() => undefined);
      open = open.filter((connection) => !free.includes(connection));
      await this.#until(() => this.#nothingMoves());
    }
    await this.#listener?.query('SELECT 1');
    for (const [by, { lost }] of this.#connections) if (lost) this.#connections.delete(by);
    return {
      tasks: await this.#rows('task', 'id'),
      records: await this.#rows('claim_record', 'partition_id, id'),
      owners: await this.#rows('partition_owner', 'partition_id'),
      sessions: await this.#rows('worker_session', 'incarnation COLLATE "C"'),
      retention: (await this.#rows('retention', 'singleton'))[0],
      notified: this.#notified.map((payload) => comparablePayload(payload, this.#beginMs)),
    };
  }

  async #act({ client, stores }: Connection, act: Exclude<Step['act'], { untilDoneMs: number }>) {
    if (typeof act === 'function')
      return act(stores, (minutes) => Math.floor(this.#beginMs + minutes * 60_000));
    if (typeof act === 'object') await this.#set(client, act.set);
    else {
      const { command } = await client.query(act);
      // Postgres answers the COMMIT of what a statement's error has aborted so; a port says it as an error.
      if (act === 'commit' && command === 'ROLLBACK') throw new StoreUnavailableError('rolled back');
    }
    return undefined;
  }

  /** All statements under way wait for locks, and none for itself. */
  async #nothingMoves(): Promise<boolean> {
    const pids = this.#underWay.pending.map((by) => this.#connections.get(by)?.pid ?? 0);
    if (pids.length === 0) return true;
    // pg_locks and not the wait event: who has been given his lock is not in it any more, even before he wakes.
    const { rows } = await this.#database.pool.query<{ pid: number; blocking: number[] }>(
      `SELECT pid, pg_blocking_pids(pid) AS blocking
       FROM pg_locks WHERE NOT granted AND pid = ANY ($1)`,
      [pids],
    );
    // Nobody in the way: the lock was given, or a deadlock ended, between the two looks of this one query.
    const waiting = pids.every((pid) => rows.some((row) => row.pid === pid && row.blocking.length > 0));
    return waiting && !inCycle(new Map(rows.map(({ pid, blocking }) => [pid, blocking])));
  }

  async #until(fact: () => boolean | Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + WITHIN_MS;
    while (!(await fact())) {
      if (performance.now() > deadlineMs) throw new Error(`still moving: ${this.#underWay.pending.join()}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #connection(by: string): Promise<Connection> {
    const existing = this.#connections.get(by);
    if (existing !== undefined) return existing;
    const client = new pg.Client({ connectionString: this.#database.url, application_name: by });
    await client.connect();
    // As production plans: see client.ts.
    await client.query(`SET plan_cache_mode = force_generic_plan`);
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const stores = {
      tasks: postgresTaskStore({ db: client, shardFrom: SHARD_FROM }),
      ownership: postgresOwnershipStore({ db: client }),
      execution: postgresExecutionStore({ db: client }),
    };
    const connection = { client, pid: rows[0]?.pid ?? 0, stores, lost: false };
    client.on('error', () => (connection.lost = true));
    this.#connections.set(by, connection);
    return connection;
  }

  async #listen(): Promise<void> {
    if (this.#listener === undefined) {
      this.#listener = new pg.Client(this.#database.url);
      await this.#listener.connect();
      this.#listener.on('notification', ({ channel, payload = '' }) =>
        this.#notified.push(channel === 'task_cancel' ? `cancel ${payload}` : payload),
      );
      await this.#listener.query('LISTEN task_due; LISTEN task_cancel');
    }
    await this.#listener.query('SELECT 1');
    this.#notified = [];
  }

  async #set(db: pg.Pool | pg.Client, { table, key, columns }: Setting): Promise<void> {
    const names = Object.keys(columns);
    if (names.length === 0) return;
    const values = Object.entries(columns).map(([name, value]: [string, unknown]) =>
      TIMES.has(name) && typeof value === 'number' ? new Date(this.#beginMs + value * 60_000) : value,
    );
    const assignments = names.map((name, index) => `${toSnake(name)} = $${index + 1}`).join(', ');
    if (table === 'claim_record' || (table === 'worker_session' && 'workerId' in columns)) {
      const parameters = names.map((_, index) => `$${index + 1}`).join(', ');
      await db.query(
        `INSERT INTO ${table} (${names.map(toSnake).join(', ')}) VALUES (${parameters})`,
        values,
      );
      return;
    }
    const keyColumn = {
      ...{ task: 'id', partition_owner: 'partition_id', worker_session: 'incarnation' },
      retention: 'singleton',
    }[table];
    await db.query(`UPDATE ${table} SET ${assignments} WHERE ${keyColumn} = $${names.length + 1}`, [
      ...values,
      key,
    ]);
  }

  async #rows(table: string, order: string): Promise<unknown[]> {
    const { rows } = await this.#database.pool.query<Record<string, unknown>>(
      `SELECT * FROM ${table} ORDER BY ${order}`,
    );
    return rows.map((row) => {
      const fields = Object.entries(row).map(([column, value]) => [
        toCamel(column),
        value instanceof Date
          ? value.getTime()
          : /^(id|epoch|place)$/.test(column) && value !== null
            ? Number(value)
            : value,
      ]);
      return comparable(inOrder(Object.fromEntries(fields) as object), this.#beginMs);
    });
  }
}

const toSnake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const toCamel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

function inCycle(edges: ReadonlyMap<number, readonly number[]>): boolean {
  const reaches = (from: number, to: number, seen: Set<number>): boolean =>
    (edges.get(from) ?? []).some(
      (next) => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))),
    );
  return [...edges.keys()].some((pid) => reaches(pid, pid, new Set()));
}
