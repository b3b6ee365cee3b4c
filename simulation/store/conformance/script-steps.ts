/** What scripts are made of: worlds, and steps by who does them. */
import type { AttemptEnd, ClaimRecord, ExecutionStore, Held, TaskChange } from '../../../libs/db/stores.ts';
import type { ClaimRecordRow, OwnerRow, SessionRow, TaskRow } from '../rows.ts';
import type { Act, Call, Step, Stores, World } from './script.ts';

const LEASE_MS = 600_000;
const LONG_MS = 3_600_000;
/** A key of partition 0 among two. */
export const LINE_KEY = 'line';
const CLAIM_ID = '00000000-0000-4000-8000-000000000001';
export const COMPLETED: AttemptEnd = { kind: 'COMPLETED' };

export const PENDING: Partial<TaskRow> = { partitionId: 0, dueAt: -10 };
/** No claim of a script comes to it. */
const RECORD_ID = 101;
export const RECORD: ClaimRecord = { partition: 0, record: RECORD_ID };
export const recordOf = (incarnation: string, more: Partial<ClaimRecordRow> = {}): ClaimRecordRow => ({
  ...{ partitionId: 0, id: RECORD_ID, claimId: CLAIM_ID, incarnation, workerId: incarnation },
  ...{ epoch: 1, claimedAt: -5, taskIds: [1], attempts: [1] },
  ...more,
});
export const runningBy = (incarnation: string, task: Partial<TaskRow> = {}): Partial<World> => ({
  tasks: [{ ...PENDING, ...task }],
  records: [recordOf(incarnation)],
});
export const ownedBy = (incarnation: string, epoch = 1): Partial<OwnerRow> => ({
  ...{ owner: incarnation, incarnation, epoch, acquiredAt: -60 },
});
export const session = (incarnation: string, more: Partial<SessionRow> = {}): SessionRow => ({
  ...{ incarnation, workerId: incarnation, backendName: incarnation, leaseMs: LEASE_MS },
  ...{ expiresAt: 10, unbrokenSince: -90, startedAt: -100 },
  ...more,
});
/** Tasks 1, 2, … of one key in this order, the first of which may be claimed. */
export const lineOf = (count: number, more: Partial<World> = {}): World =>
  world({
    tasks: Array.from({ length: count }, (_, index) => ({
      ...{ ...PENDING, key: LINE_KEY, serial: true, blocked: index > 0, scheduledAt: -10 + 2 * index },
    })),
    ...more,
  });
export const world = (more: Partial<World>): World => ({
  tasks: [PENDING],
  records: [],
  owners: [ownedBy('a'), {}],
  sessions: [session('a'), session('b')],
  ...more,
});
/** a runs the task, b owns its partition. */
export const orphaned = (
  more: Partial<SessionRow> = {},
  task: Partial<TaskRow> = {},
  caller: Partial<SessionRow> = {},
) =>
  world({
    ...runningBy('a', task),
    owners: [ownedBy('b', 2), {}],
    sessions: [session('a', { expiresAt: -2, ...more }), session('b', caller)],
  });

const held = (incarnation: string, epoch = 1, partition = 0): Held => ({
  partition,
  epoch,
  incarnation,
});
export const does = (by: string, what: string, act: Act): Step => ({ by, what, act });
const call = (what: string, act: Call) => (by: string) => does(by, what, act);
export const begin = (by: string) => does(by, 'begin', 'begin');
export const commit = (by: string) => does(by, 'commit', 'commit');
export const rollback = (by: string) => does(by, 'rollback', 'rollback');
export const claim = (by: string, epoch = 1, limit = 10) =>
  does(by, 'claim', ({ execution }) =>
    execution.claim({ claimId: CLAIM_ID, workerId: by, held: [held(by, epoch)], limit }),
  );
/** Beyond the position (due time in minutes, id). */
export const claimBeyond = (by: string, minutes: number, id: number) =>
  does(by, `claim beyond ${minutes}/${id}`, ({ execution }, at) =>
    execution.claim({
      ...{ claimId: CLAIM_ID, workerId: by, limit: 1 },
      held: [{ ...held(by), after: { dueAtMs: at(minutes), id } }],
    }),
  );
export const peekBeyond = (by: string, minutes: number, id: number) =>
  does(by, `peek beyond ${minutes}/${id}`, ({ execution }, at) =>
    execution.peek([{ partition: 0, after: { dueAtMs: at(minutes), id } }], 900_000, [by]),
  );
export const acquire = (by: string, epoch: number, lockTimeoutMs = LONG_MS) =>
  does(by, `acquire ${epoch}`, ({ ownership }) =>
    ownership.acquire({ workerId: by, incarnation: by, grants: [{ partition: 0, epoch }], lockTimeoutMs }),
  );
export const release = call('release', ({ ownership }) =>
  ownership.release('a', [{ partition: 0, epoch: 1 }]),
);
export const remove = call('remove', ({ tasks }) => tasks.remove(1));
export const finishAll = (
  by: string,
  ids: readonly number[],
  end: AttemptEnd,
  settled: readonly ClaimRecord[],
) =>
  does(by, `finish ${ids.join()} ${end.kind}`, ({ execution }) =>
    execution.finish(
      ids.map((id) => ({
        id,
        attempt: 1,
        epoch: 1,
        incarnation: 'a',
        workerId: 'a',
        claimedAtMs: 1_000,
        partition: 0,
        serial: false,
        end,
      })),
      settled,
    ),
  );
export const finish = (by: string, end: AttemptEnd = COMPLETED, settled: readonly ClaimRecord[] = [RECORD]) =>
  finishAll(by, [1], end, settled);
export const recover = (by: string, own: string[] = []) =>
  does(by, 'recover', ({ execution }) => execution.recover({ held: [held('b', 2)], own, jitter: 0.5 }));
/** With its durations in whole minutes, so that they can be compared. */
export async function removeIn(
  { execution }: Stores,
  request: Parameters<ExecutionStore['removeFinished']>[0],
): Promise<unknown> {
  const result = await execution.removeFinished(request);
  return result && { ...result, toGoMs: result.toGoMs && Math.round(result.toGoMs / 60_000) };
}
/** What ended over five minutes ago. */
export const removeFinished = (by: string, span = 100, most = 100) =>
  does(by, `remove finished, ${most} of ${span}`, (stores) =>
    removeIn(stores, { keepMs: 300_000, passMs: LEASE_MS, span, most }),
  );
/** In minutes from the script's beginning. */
export const ended = (completedAt: number, more: Partial<TaskRow> = {}): Partial<TaskRow> => ({
  ...{ ...PENDING, status: 'COMPLETED', attempt: 1, incarnation: 'a', workerId: 'a' },
  ...{ createdAt: completedAt - 1, completedAt },
  ...more,
});
export const retry = call('retry', ({ tasks }) => tasks.retry(1));
export const renew = (by: string) =>
  does(by, 'renew', ({ ownership }) => ownership.renew(by, [by], LEASE_MS));
export const endSession = (by: string) =>
  does(by, 'end session', ({ ownership }) => ownership.endSession(by));
/** The outcome of the first attempt of a serial task. */
export const finishSerial = (
  by: string,
  id: number,
  end: AttemptEnd = COMPLETED,
  settled: readonly ClaimRecord[] = [RECORD],
) =>
  does(by, `finish ${id}, which is serial, ${end.kind}`, ({ execution }) =>
    execution.finish(
      [
        {
          ...{ id, attempt: 1, epoch: 1, incarnation: 'a', workerId: 'a', claimedAtMs: 1_000 },
          ...{ partition: 0, serial: true, end },
        },
      ],
      settled,
    ),
  );
/** Into the line, at a time in minutes. */
export const join = (by: string, minutes: number) =>
  does(by, `join at ${minutes}`, ({ tasks }, at) =>
    tasks.insert([
      { name: 'joins', key: LINE_KEY, serial: true, payload: null, scheduledAtMs: at(minutes) },
      { name: 'beside', key: null, payload: null, scheduledAtMs: at(30) },
    ]),
  );
/** A task for each key. */
export const submitOnce = (by: string, ...keys: string[]) =>
  does(by, `submit once ${keys.join()}`, ({ tasks }) =>
    tasks.insertOnce(
      keys.map((key) => ({
        task: { name: 'once', key: null, payload: null, scheduledAtMs: null },
        once: { key, fingerprint: keys.join() },
      })),
      3_600_000,
    ),
  );
export const change = (by: string, id: number, what: TaskChange) =>
  does(by, `change ${id} ${JSON.stringify(what)}`, ({ tasks }) => tasks.patch(id, what));
export const steer = (by: string, what: 'remove' | 'cancel' | 'retry' | 'run', id: number) =>
  does(by, `${what} ${id}`, ({ tasks }) => tasks[what](id));
export const payloads = (by: string, attempt: number, incarnation: string) =>
  does(by, 'payloads', ({ execution }) => execution.payloads([{ id: 1, attempt, incarnation, ...RECORD }]));
/** How far task 1 has got. */
export const report = (by: string, done: number, more: { attempt?: number; incarnation?: string } = {}) =>
  does(by, `report ${done} ${JSON.stringify(more)}`, ({ execution }) =>
    execution.reportProgress([
      { id: 1, attempt: 1, incarnation: 'a', ...RECORD, done, note: 'so far', ...more },
    ]),
  );
