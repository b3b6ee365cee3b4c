/** The statements of the lease. */
import type { Execution } from '../execution.ts';
import type { SessionRow } from '../rows.ts';
import { byText, epochMs, renewedInTime } from './statement.ts';
import type { SqlStatement } from './statement.ts';

const HOUR_MS = 3_600_000;
const CLEARED_AT_MOST = 100;

/** renew-sessions.sql */
export const renewSessions: SqlStatement<
  [workerId: string, incarnations: string[], leaseMs: number],
  { now_ms: number; expires_ms: number }
> = {
  name: 'renew-sessions',
  *execute(x, workerId, incarnations, leaseMs) {
    const { nowMs, transaction } = x;
    const backendName = transaction.applicationName;
    const expiresAt = nowMs + leaseMs;
    const unbrokenSince = unbrokenSinceOf(x, backendName) ?? nowMs;
    for (const incarnation of incarnations.toSorted(byText)) {
      const lease = { leaseMs, backendName, expiresAt };
      yield* x.upsert(
        x.sessions,
        incarnation,
        { incarnation, workerId, ...lease, unbrokenSince, startedAt: nowMs },
        (s) => {
          const clockMs = transaction.clockTimestampMs();
          const unbroken = renewedInTime(s, clockMs);
          return { ...s, ...lease, unbrokenSince: unbroken ? Math.min(s.unbrokenSince, nowMs) : clockMs };
        },
      );
    }
    return [{ now_ms: nowMs, expires_ms: epochMs(expiresAt) }];
  },
};

/** Since when the sessions of this process have not been broken. */
function unbrokenSinceOf(x: Execution, backendName: string): number | undefined {
  let earliest: number | undefined;
  for (const row of x.sessions.rows()) {
    const s = row.visibleTo(x);
    if (s?.backendName !== backendName || !renewedInTime(s, x.nowMs)) continue;
    earliest = Math.min(earliest ?? Infinity, s.unbrokenSince);
  }
  return earliest;
}

/** clear-sessions.sql */
export const clearSessions: SqlStatement<[], never> = {
  name: 'clear-sessions',
  *execute(x) {
    const longGone = (s: SessionRow) =>
      s.expiresAt < x.nowMs - HOUR_MS && ownsAndRunsNothing(x, s.incarnation);
    let cleared = 0;
    for (const row of x.sessions.rows()) {
      if (cleared === CLEARED_AT_MOST) break;
      if ((yield* x.select(row, longGone, 'FOR UPDATE', 'SKIP LOCKED')) === undefined) continue;
      cleared += 1;
      yield* x.delete(row, () => true);
    }
    return [];
  },
};

/** end-session.sql */
export const endSession: SqlStatement<[incarnation: string], never> = {
  name: 'end-session',
  *execute(x, incarnation) {
    yield* x.delete(x.sessions.find(incarnation, x), () => ownsAndRunsNothing(x, incarnation));
    return [];
  },
};

function ownsAndRunsNothing(x: Execution, incarnation: string): boolean {
  for (const row of x.owners.rows()) if (row.visibleTo(x)?.incarnation === incarnation) return false;
  for (const row of x.claimRecords.rows()) if (row.visibleTo(x)?.incarnation === incarnation) return false;
  return true;
}
