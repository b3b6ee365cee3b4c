/**
 * The stores' ports on a {@link SimulatedDatabase}. The production code of the stores runs above it, loops and
 * retries included; only `query` is another: it finds the statement's twin by its name.
 */
import { invariant } from '../../libs/core/invariant.ts';
import type { Database } from '../../libs/db/client.ts';
import { postgresExecutionStore } from '../../libs/db/postgres-execution-store.ts';
import { postgresOwnershipStore } from '../../libs/db/postgres-ownership-store.ts';
import { postgresTaskStore } from '../../libs/db/postgres-task-store.ts';
import { NumberArray } from '../../libs/db/statement.ts';
import type { ExecutionStore, OwnershipStore, TaskStore } from '../../libs/db/stores.ts';
import type { SimulatedDatabase, StatementFn } from './database.ts';
import { claimTasks } from './statements/claim-tasks.ts';
import { finishTasks } from './statements/finish-tasks.ts';
import { acquirePartitions, endBlockingBackends, releasePartitions } from './statements/partitions.ts';
import * as reads from './statements/reads.ts';
import { reportProgress } from './statements/report-progress.ts';
import { recoverTasks } from './statements/recover-tasks.ts';
import { removeFinished } from './statements/remove-finished.ts';
import { clearSessions, endSession, renewSessions } from './statements/sessions.ts';
import { bind } from './statements/statement.ts';
import type { SqlStatement } from './statements/statement.ts';
import * as steering from './statements/steering.ts';
import { insertTasks, insertUsual, reserveIds } from './statements/submissions.ts';

/** What becomes of a statement on its way. Each may reject with StoreUnavailableError. */
export interface Link {
  /** The client has given up on the connection: whatever is on its way may arrive, and is awaited by nobody. */
  readonly broken: boolean;
  /** Before the server sees it. Rejecting: it never arrives. */
  request(statement: string): Promise<void>;
  /** After its execution, with its locks held, before its commit. Rejecting: it is rolled back. */
  executed(statement: string): Promise<void>;
  /** After the commit, before the client hears of it. Rejecting: the reply is lost. */
  reply(statement: string): Promise<void>;
}

/** Runs one statement to its result: on its own, or in a transaction that is open already. */
export type Run = <R>(statement: StatementFn<R>) => Promise<R>;

/** What client.ts sets for every session. */
const STATEMENT_TIMEOUT_MS = 15_000;

const STATEMENTS = new Map<string, SqlStatement<unknown[], object>>(
  [
    ...[
      claimTasks,
      finishTasks,
      recoverTasks,
      reads.readMeta,
      reads.peekDue,
      reads.runningTasks,
      reads.taskPayloads,
      reads.unhandledTasks,
    ],
    reportProgress,
    removeFinished,
    ...[acquirePartitions, releasePartitions, endBlockingBackends, renewSessions, endSession, clearSessions],
    ...[
      reserveIds,
      insertUsual,
      insertTasks,
      steering.removeTask,
      steering.cancelTask,
      steering.retryTask,
      steering.runTask,
      steering.patchTask,
    ],
  ].map((statement) => [statement.name, statement as SqlStatement<unknown[], object>]),
);

export function simulatedStores(options: {
  readonly database: SimulatedDatabase;
  readonly link: Link;
  readonly applicationName: string;
}): { tasks: TaskStore; ownership: OwnershipStore; execution: ExecutionStore } {
  const { database, link, applicationName } = options;
  return storesOn(async (statement) => {
    await link.request(statement.name);
    const transaction = database.begin(applicationName, { statementTimeoutMs: STATEMENT_TIMEOUT_MS });
    try {
      const result = await transaction.run(statement);
      await link.executed(statement.name);
      transaction.commit({ abandoned: link.broken });
      await link.reply(statement.name);
      return result;
    } finally {
      transaction.rollback();
    }
  });
}

/**
 * The stores above `run`.
 * @param shardFrom as in libs/db/postgres-task-store.ts; where it is not given, the database shards all tasks
 */
export function storesOn(
  run: Run,
  shardFrom = Infinity,
): {
  tasks: TaskStore;
  ownership: OwnershipStore;
  execution: ExecutionStore;
} {
  const query = async ({ name, values }: { name: string; values: unknown[] }) => {
    const [file = ''] = name.split(' ');
    const statement = STATEMENTS.get(file);
    invariant(statement !== undefined, `the simulation does not know the statement ${name}`);
    return {
      rows: await run(
        bind(
          statement,
          values.map((value) => (value instanceof NumberArray ? value.values : value)),
        ),
      ),
    };
  };
  // The one method that libs/db/statement.ts calls.
  const db = { query } as unknown as Database;
  return {
    tasks: {
      ...postgresTaskStore({ db, shardFrom }),
      get: (id) => run(reads.getTask(id)),
      cluster: () => readCluster(run),
    },
    ownership: postgresOwnershipStore({ db }),
    execution: postgresExecutionStore({ db }),
  };
}

async function readCluster(run: Run): ReturnType<TaskStore['cluster']> {
  const partitions = await run(reads.readOwners);
  const sessions = await run(reads.readSessions);
  const workers = sessions
    .map(({ recent, ...session }) => {
      const owned = partitions.filter(({ owner }) => owner === session.id).map(({ id }) => id);
      return { recent, worker: { ...session, partitions: owned } };
    })
    .filter(({ recent, worker }) => recent || worker.partitions.length > 0)
    .map(({ worker }) => worker);
  return { partitions, workers };
}
