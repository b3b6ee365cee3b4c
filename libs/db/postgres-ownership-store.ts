import type { Database } from './client.ts';
import { isLockTimeout } from './pg-errors.ts';
import { readMeta } from './read-meta.ts';
import { loadStatement, run, runForOne } from './statement.ts';
import { StoreUnavailableError } from './stores.ts';
import type { OwnershipStore, PartitionEpoch } from './stores.ts';

const renewSessions = loadStatement('renew-sessions');
const endSession = loadStatement('end-session');
const acquirePartitions = loadStatement('acquire-partitions');
const endBlockingBackends = loadStatement('end-blocking-backends');
const releasePartitions = loadStatement('release-partitions');

/** Lock timeouts of one acquire, the blocking backends being ended after each. */
const ACQUIRE_ATTEMPTS = 3;

/**
 * Ownership and lease of a worker's incarnations. The connections of `db`, like all others of the worker's
 * process, carry its `workerApplicationName`.
 */
export function postgresOwnershipStore({ db }: { readonly db: Database }): OwnershipStore {
  return {
    readMeta: () => readMeta(db),
    async renew(workerId, incarnations, leaseMs) {
      const row = await runForOne<{ now_ms: number; expires_ms: number }>(db, renewSessions, [
        workerId,
        incarnations,
        leaseMs,
      ]);
      return { dbNowMs: row.now_ms, expiresAtMs: row.expires_ms };
    },
    async endSession(incarnation) {
      await run(db, endSession, [incarnation]);
    },
    acquire: (request) => acquire(db, request),
    async release(incarnation, parts) {
      await run(db, releasePartitions, [incarnation, ...columns(parts)]);
    },
  };
}

async function acquire(
  db: Database,
  { workerId, incarnation, grants, lockTimeoutMs }: Parameters<OwnershipStore['acquire']>[0],
): ReturnType<OwnershipStore['acquire']> {
  const [partitions, epochs] = columns(grants);
  for (let attempt = 1; ; attempt++) {
    try {
      const rows = await run<{ partition: number; epoch: number; owned: boolean }>(db, acquirePartitions, [
        workerId,
        incarnation,
        partitions,
        epochs,
        lockTimeoutMs,
      ]);
      const of = (wanted: boolean) =>
        rows.filter(({ owned }) => owned === wanted).map(({ partition, epoch }) => ({ partition, epoch }));
      return { owned: of(true), fenced: of(false) };
    } catch (error) {
      const blocked = error instanceof StoreUnavailableError && isLockTimeout(error.cause);
      if (!blocked || attempt === ACQUIRE_ATTEMPTS) throw error;
      await run(db, endBlockingBackends, [partitions, incarnation, lockTimeoutMs]);
    }
  }
}

const columns = (parts: readonly PartitionEpoch[]): [number[], number[]] => [
  parts.map(({ partition }) => partition),
  parts.map(({ epoch }) => epoch),
];
