import { ManualClock } from '../../../libs/testing/manual-clock.ts';
import { SimulatedDatabase } from '../database.ts';
import type { StatementFn, Transaction } from '../database.ts';
import type { Execution, Steps } from '../execution.ts';
import { storesOn } from '../stores.ts';
import { comparable, comparablePayload, inOrder, settingsOf, SHARD_FROM, TIMES, UnderWay } from './script.ts';
import type { Ending, Line, Setting, Side, Step, Stores, World } from './script.ts';

const DEADLOCK_TIMEOUT_MS = 1_001;

interface Connection {
  readonly stores: Stores;
  transaction: Transaction | undefined;
  /** Of a statement outside of a transaction, while it runs. */
  alone: Transaction | undefined;
}

export class SimulatedSide implements Side {
  readonly clock = new ManualClock();
  /**
   * Two wait for one row, or for each other, or were woken at once: who gets a row, or ends, is on the real side often
   * a race of processes.
   */
  racing = false;
  database = new SimulatedDatabase({ clock: this.clock, uid: 'uid-1', partitions: 2 });
  #connections = new Map<string, Connection>();
  #underWay = new UnderWay();
  #notified: string[] = [];
  #beginMs = 0;

  async prepare(world: World): Promise<void> {
    this.#beginMs = this.clock.wallMs();
    this.#connections = new Map();
    this.#underWay = new UnderWay();
    this.database = new SimulatedDatabase({
      clock: this.clock,
      uid: 'uid-1',
      partitions: world.owners.length,
    });
    const setUp = this.#connection('set-up');
    await setUp.stores.tasks.insert(
      world.tasks.map((_, index) => ({
        name: `t${index + 1}`,
        key: null,
        payload: index,
        scheduledAtMs: null,
      })),
    );
    for (const setting of settingsOf(world)) await this.#run(setUp, this.#setting(setting));
    this.#notified = [];
    this.database.onTaskDue((partitions, sinceMs) =>
      this.#notified.push(`${sinceMs}:${partitions === '*' ? partitions : partitions.join(',')}`),
    );
    this.database.onTaskCancel((id, attempt) => this.#notified.push(`cancel ${id}:${attempt}`));
  }

  async perform(step: Step): Promise<Line> {
    // No two transactions begin at once.
    await this.clock.advance(1);
    const waited = this.#transactions().filter(({ blocked }) => blocked);
    const waitedFor = waited.map(({ waiting }) => waiting);
    this.#start(step);
    await this.clock.advance(
      typeof step.act === 'object' && 'untilDoneMs' in step.act ? step.act.untilDoneMs : 0,
    );
    const deadlock = this.#transactions().some(({ deadlocked }) => deadlocked);
    const woken = waited.filter(({ waiting }, index) => waiting !== waitedFor[index]);
    this.racing = deadlock || woken.length > 1 || this.#transactions().some(({ queued }) => queued);
    if (deadlock) await this.clock.advance(DEADLOCK_TIMEOUT_MS);
    return this.#underWay.line(step);
  }

  async end(): Promise<Ending> {
    for (let open = this.#transactions(); open.length > 0; open = this.#transactions()) {
      for (const [by, { transaction }] of this.#connections) {
        if (transaction === undefined || this.#underWay.pending.includes(by)) continue;
        await this.perform({ by, what: 'rollback', act: 'rollback' });
      }
      await this.clock.advance(0);
    }
    const all = (rows: Iterable<object>) => [...rows].map((row) => comparable(inOrder(row), this.#beginMs));
    return {
      tasks: all([...this.database.taskRows.values()].sort((a, b) => a.id - b.id)),
      records: all(
        [...this.database.claimRecords.values()].sort((a, b) => a.partitionId - b.partitionId || a.id - b.id),
      ),
      owners: all(this.database.owners),
      sessions: all(
        [...this.database.sessions.values()].sort((a, b) => (a.incarnation < b.incarnation ? -1 : 1)),
      ),
      retention: comparable({ singleton: true, ...this.database.retention }, this.#beginMs),
      notified: this.#notified.map((payload) => comparablePayload(payload, this.#beginMs)),
    };
  }

  /** Whether `by` has a transaction open. */
  isOpen(by: string): boolean {
    return this.#connections.get(by)?.transaction !== undefined;
  }

  #transactions(): Transaction[] {
    return [...this.#connections.values()]
      .flatMap(({ transaction, alone }) => [transaction, alone])
      .filter((transaction) => transaction !== undefined);
  }

  #start({ by, act }: Step): void {
    const connection = this.#connection(by);
    if (typeof act === 'object' && 'untilDoneMs' in act) return;
    this.#underWay.start(by, this.#act(connection, by, act), this.#beginMs);
  }

  async #act(connection: Connection, by: string, act: Exclude<Step['act'], { untilDoneMs: number }>) {
    const { transaction } = connection;
    if (act === 'begin') connection.transaction = this.database.begin(by);
    else if (act === 'commit' || act === 'rollback') {
      connection.transaction = undefined;
      if (act === 'commit') transaction?.commit();
      else transaction?.rollback();
    } else if (typeof act === 'object') await this.#run(connection, this.#setting(act.set));
    else return await act(connection.stores, (minutes) => this.#beginMs + minutes * 60_000);
    return undefined;
  }

  #connection(by: string): Connection {
    const existing = this.#connections.get(by);
    if (existing !== undefined) return existing;
    const connection: Connection = {
      transaction: undefined,
      alone: undefined,
      stores: storesOn((statement) => this.#run(connection, statement, by), SHARD_FROM),
    };
    this.#connections.set(by, connection);
    return connection;
  }

  async #run<R>(connection: Connection, statement: StatementFn<R>, by = 'set-up'): Promise<R> {
    if (connection.transaction !== undefined) return connection.transaction.run(statement);
    const transaction = this.database.begin(by);
    connection.alone = transaction;
    try {
      const result = await transaction.run(statement);
      transaction.commit();
      return result;
    } finally {
      transaction.rollback();
      connection.alone = undefined;
    }
  }

  /** UPDATE of one row by its key; for a session that is not there, INSERT. */
  #setting({ table, key, columns }: Setting): StatementFn<undefined> {
    const given = Object.entries(columns).map(([column, value]: [string, unknown]) => [
      column,
      TIMES.has(column) && typeof value === 'number' ? this.#beginMs + value * 60_000 : value,
    ]);
    const patch = Object.fromEntries(given) as object;
    return {
      name: 'set',
      *execute(x: Execution): Steps<undefined> {
        if (table === 'task')
          yield* x.update(
            x.tasks.find(key, x),
            () => true,
            (t) => ({ ...t, ...patch }),
          );
        if (table === 'claim_record') x.insert(x.claimRecords, key, { ...columns, ...patch });
        if (table === 'partition_owner')
          yield* x.update(
            x.owners.find(key, x),
            () => true,
            (o) => ({ ...o, ...patch }),
          );
        if (table === 'retention')
          yield* x.update(
            x.retention.find(key, x),
            () => true,
            (r) => ({ ...r, ...patch }),
          );
        if (table !== 'worker_session') return undefined;
        const row = x.sessions.find(key, x);
        if (row !== undefined)
          yield* x.update(
            row,
            () => true,
            (s) => ({ ...s, ...patch }),
          );
        else if ('workerId' in columns) x.insert(x.sessions, key, { ...columns, ...patch } as never);
        return undefined;
      },
    };
  }
}
