/** The statements of ownership. */
import type { SessionRow } from '../rows.ts';
import type { SqlStatement } from './statement.ts';

/** acquire-partitions.sql */
export const acquirePartitions: SqlStatement<
  [workerId: string, incarnation: string, partitions: number[], epochs: number[], lockTimeoutMs: number],
  { partition: number; epoch: number; owned: boolean }
> = {
  name: 'acquire-partitions',
  *execute(x, workerId, incarnation, partitions, epochs, lockTimeoutMs) {
    x.transaction.setLockTimeout(lockTimeoutMs);
    x.transaction.lockOwnerTable();
    const granted = partitions
      .map((partition, index) => ({ partition, epoch: epochs[index] ?? 0 }))
      .sort((a, b) => a.partition - b.partition);

    const locked: { partition: number; epoch: number; grantedEpoch: number }[] = [];
    for (const { partition, epoch: grantedEpoch } of granted) {
      const owner = yield* x.select(x.owners.find(partition, x), () => true, 'FOR NO KEY UPDATE');
      if (owner !== undefined) locked.push({ partition, epoch: owner.epoch, grantedEpoch });
    }

    const result: { partition: number; epoch: number; owned: boolean }[] = [];
    for (const { partition, epoch, grantedEpoch } of locked) {
      const taken = yield* x.update(
        x.owners.find(partition, x),
        (o) => o.epoch < grantedEpoch || (o.epoch === grantedEpoch && o.incarnation === incarnation),
        (o) => ({ ...o, epoch: grantedEpoch, owner: workerId, incarnation, acquiredAt: x.nowMs }),
      );
      result.push({ partition, epoch: taken?.epoch ?? epoch, owned: taken !== undefined });
    }
    return result;
  },
};

/** release-partitions.sql */
export const releasePartitions: SqlStatement<
  [incarnation: string, partitions: number[], epochs: number[]],
  never
> = {
  name: 'release-partitions',
  *execute(x, incarnation, partitions, epochs) {
    x.transaction.lockOwnerTable();
    const released = partitions
      .map((partition, index) => ({ partition, epoch: epochs[index] }))
      .sort((a, b) => a.partition - b.partition);

    const locked: number[] = [];
    for (const { partition, epoch } of released) {
      const owner = yield* x.select(
        x.owners.find(partition, x),
        (o) => o.epoch === epoch && o.incarnation === incarnation,
        'FOR NO KEY UPDATE',
      );
      if (owner !== undefined) locked.push(partition);
    }

    for (const partition of locked) {
      yield* x.update(
        x.owners.find(partition, x),
        (o) => o.incarnation === incarnation,
        (o) => ({ ...o, owner: null, incarnation: null, acquiredAt: null }),
      );
    }
    return [];
  },
};

/** end-blocking-backends.sql */
export const endBlockingBackends: SqlStatement<
  [partitions: number[], incarnation: string, lockTimeoutMs: number],
  { ended: number }
> = {
  name: 'end-blocking-backends',
  *execute(x, partitions, incarnation, lockTimeoutMs) {
    const blocking = new Set<string>();
    for (const partition of partitions) {
      const owner = x.owners.find(partition, x)?.visibleTo(x);
      if (owner?.incarnation == null || owner.incarnation === incarnation) continue;
      const session: SessionRow | undefined = x.sessions.find(owner.incarnation, x)?.visibleTo(x);
      if (session !== undefined) blocking.add(session.backendName);
    }
    const since = x.transaction.clockTimestampMs() - lockTimeoutMs;
    const ended = x.transaction.terminate(
      (backend) => backend.nowMs < since && blocking.has(backend.applicationName) && backend.locksOwnerTable,
    );
    return [{ ended }];
  },
};
