/** Interleavings that matter, one by one. */
import type { AttemptEnd, Held } from '../../../libs/db/stores.ts';
import type { OwnerRow, SessionRow, TaskRow } from '../rows.ts';
import type { Act, Call, Step, World } from './script.ts';

export interface Script {
  readonly name: string;
  readonly world: World;
  readonly steps: readonly Step[];
  /** Who waits after each step, so that no script loses its point. */
  readonly waiting: readonly string[];
}

const LEASE_MS = 600_000;
const LONG_MS = 3_600_000;
const CLAIM_ID = '00000000-0000-4000-8000-000000000001';
const COMPLETED: AttemptEnd = { kind: 'COMPLETED' };

const PENDING: Partial<TaskRow> = { partitionId: 0, dueAt: -10 };
const runningBy = (incarnation: string, more: Partial<TaskRow> = {}): Partial<TaskRow> => ({
  ...{ partitionId: 0, status: 'RUNNING', attempt: 1, epoch: 1, startedAt: -5, dueAt: -10 },
  ...{ claimId: CLAIM_ID, incarnation, workerId: incarnation },
  ...more,
});
const ownedBy = (incarnation: string, epoch = 1): Partial<OwnerRow> => ({
  ...{ owner: incarnation, incarnation, epoch, acquiredAt: -60 },
});
const session = (incarnation: string, more: Partial<SessionRow> = {}): SessionRow => ({
  ...{ incarnation, workerId: incarnation, backendName: incarnation, leaseMs: LEASE_MS },
  ...{ expiresAt: 10, unbrokenSince: -90, startedAt: -100 },
  ...more,
});
const world = (more: Partial<World>): World => ({
  tasks: [PENDING],
  owners: [ownedBy('a'), {}],
  sessions: [session('a'), session('b')],
  ...more,
});
/** a runs the task, b owns its partition. */
const orphaned = (
  more: Partial<SessionRow> = {},
  task: Partial<TaskRow> = {},
  caller: Partial<SessionRow> = {},
) =>
  world({
    tasks: [runningBy('a', task)],
    owners: [ownedBy('b', 2), {}],
    sessions: [session('a', { expiresAt: -2, ...more }), session('b', caller)],
  });

const held = (incarnation: string, epoch = 1, partition = 0): Held => ({ partition, epoch, incarnation });
const does = (by: string, what: string, act: Act): Step => ({ by, what, act });
const call = (what: string, act: Call) => (by: string) => does(by, what, act);
const begin = (by: string) => does(by, 'begin', 'begin');
const commit = (by: string) => does(by, 'commit', 'commit');
const rollback = (by: string) => does(by, 'rollback', 'rollback');
const claim = (by: string, epoch = 1) =>
  does(by, 'claim', ({ execution }) =>
    execution.claim({ claimId: CLAIM_ID, workerId: by, held: [held(by, epoch)], limit: 10 }),
  );
const acquire = (by: string, epoch: number, lockTimeoutMs = LONG_MS) =>
  does(by, `acquire ${epoch}`, ({ ownership }) =>
    ownership.acquire({ workerId: by, incarnation: by, grants: [{ partition: 0, epoch }], lockTimeoutMs }),
  );
const release = call('release', ({ ownership }) => ownership.release('a', [{ partition: 0, epoch: 1 }]));
const remove = call('remove', ({ tasks }) => tasks.remove(1));
const finish = (by: string, end: AttemptEnd = COMPLETED) =>
  does(by, `finish ${end.kind}`, ({ execution }) =>
    execution.finish([{ id: 1, attempt: 1, incarnation: 'a', end }]),
  );
const recover = (by: string, own: string[] = []) =>
  does(by, 'recover', ({ execution }) =>
    execution.recover({ held: [held('b', 2)], own, delaysMs: [1_200_000] }),
  );
const renew = (by: string) => does(by, 'renew', ({ ownership }) => ownership.renew(by, [by], LEASE_MS));
const endSession = (by: string) => does(by, 'end session', ({ ownership }) => ownership.endSession(by));
const payloads = (by: string, attempt: number, incarnation: string) =>
  does(by, 'payloads', ({ execution }) => execution.payloads([{ id: 1, attempt, incarnation }]));
const script = (name: string, at: World, steps: Step[], ...waiting: string[]): Script => ({
  ...{ name, world: at, steps, waiting },
});

export const SCRIPTS: readonly Script[] = [
  script(
    'claim, then acquire',
    world({}),
    [begin('a'), claim('a'), acquire('b', 2), commit('a'), claim('b', 2)],
    'b',
  ),
  script(
    'claim rolled back, then acquire',
    world({}),
    [begin('a'), claim('a'), acquire('b', 2), rollback('a'), claim('b', 2)],
    'b',
  ),
  script('acquire, then claim', world({}), [begin('b'), acquire('b', 2), claim('a'), commit('b')], 'a'),
  script(
    'acquire rolled back, then claim',
    world({}),
    [begin('b'), acquire('b', 2), claim('a'), rollback('b')],
    'a',
  ),
  script(
    'claim, then release',
    world({}),
    [begin('a'), claim('a'), release('c'), commit('a'), claim('a')],
    'c',
  ),
  script(
    'release, then claim',
    world({}),
    [begin('a'), release('a'), does('c', 'claim', claim('a').act), commit('a')],
    'c',
  ),
  script('claim beside claim', world({ tasks: [PENDING, PENDING] }), [
    begin('a'),
    claim('a'),
    does('c', 'claim', claim('a').act),
    commit('a'),
  ]),
  script(
    'claim, then remove',
    world({}),
    [begin('a'), claim('a'), remove('c'), commit('a'), finish('a')],
    'c',
  ),
  script(
    'claim rolled back, then remove',
    world({}),
    [begin('a'), claim('a'), remove('c'), rollback('a')],
    'c',
  ),
  script('remove, then claim', world({}), [begin('c'), remove('c'), claim('a'), commit('c'), claim('a')]),
  script('remove rolled back, then claim', world({}), [
    begin('c'),
    remove('c'),
    claim('a'),
    rollback('c'),
    claim('a'),
  ]),
  script(
    'remove, then finish',
    world({ tasks: [runningBy('a')] }),
    [begin('c'), remove('c'), finish('a'), commit('c'), finish('a')],
    'a',
  ),
  script(
    'finish, then remove',
    world({ tasks: [runningBy('a')] }),
    [begin('a'), finish('a'), remove('c'), commit('a'), remove('c')],
    'c',
  ),
  script(
    'finish with a retry, then remove',
    world({ tasks: [runningBy('a')] }),
    [begin('a'), finish('a', { kind: 'RETRY', delayMs: 0, error: 'x' }), remove('c'), commit('a')],
    'c',
  ),
  script('finish, then recover', orphaned(), [
    begin('a'),
    finish('a'),
    recover('b'),
    commit('a'),
    recover('b'),
  ]),
  script('recover, then finish', orphaned(), [begin('b'), recover('b'), finish('a'), commit('b')], 'a'),
  script(
    'recover rolled back, then finish',
    orphaned(),
    [begin('b'), recover('b'), finish('a'), rollback('b')],
    'a',
  ),
  script(
    'finish repeated while the first is under way',
    world({ tasks: [runningBy('a')] }),
    [begin('a'), finish('a', { kind: 'HANDED_BACK' }), does('c', 'finish', finish('a').act), commit('a')],
    'c',
  ),
  script(
    'finish while the task changes without ending',
    world({ tasks: [runningBy('a')] }),
    [
      begin('c'),
      does('c', 'set', { set: { table: 'task', key: 1, columns: { failures: 2 } } }),
      finish('a', { kind: 'FAILED', error: 'x' }),
      commit('c'),
    ],
    'a',
  ),
  script(
    'finish while another takes the attempt away and claims anew',
    world({ tasks: [runningBy('a')] }),
    [
      begin('c'),
      does('c', 'set', { set: { table: 'task', key: 1, columns: { attempt: 2 } } }),
      finish('a'),
      commit('c'),
    ],
    'a',
  ),
  script(
    'renew, then recover',
    orphaned(),
    [begin('a'), renew('a'), recover('b'), commit('a'), finish('a')],
    'b',
  ),
  script(
    'renew rolled back, then recover',
    orphaned(),
    [begin('a'), renew('a'), recover('b'), rollback('a')],
    'b',
  ),
  script(
    'a session that changes and is over nonetheless, then recover',
    orphaned(),
    [
      begin('a'),
      does('a', 'set', { set: { table: 'worker_session', key: 'a', columns: { expiresAt: -3 } } }),
      recover('b'),
      commit('a'),
    ],
    'b',
  ),
  script(
    'recover, then renew',
    orphaned(),
    [begin('b'), recover('b'), renew('a'), commit('b'), finish('a')],
    'a',
  ),
  script('recover of its own attempts', orphaned(), [recover('b', ['a']), recover('b')]),
  script('recover of a removed task, of one without retries left', orphaned({}, { cancelRequestedAt: -1 }), [
    recover('b'),
    finish('a'),
  ]),
  script('recover without retries left', orphaned({}, { failures: 1 }), [recover('b')]),
  script('recover by a caller who has not renewed', orphaned({}, {}, { expiresAt: 3 }), [
    recover('b'),
    renew('b'),
    recover('b'),
  ]),
  script('recover by a caller whose lease was broken', orphaned({}, {}, { unbrokenSince: -5 }), [
    recover('b'),
  ]),
  script('recover cuts a lease from before the clock stepped back', orphaned({ expiresAt: 60 }), [
    recover('b'),
    recover('b'),
  ]),
  script('recover behind acquire', orphaned(), [begin('a'), acquire('a', 3), recover('b'), commit('a')], 'b'),
  ...[1, 2, 3].map((second) =>
    script(
      `acquire 2, then acquire ${second}`,
      world({}),
      [begin('a'), acquire('a', 2), acquire('b', second), commit('a')],
      'b',
    ),
  ),
  script('acquire repeated', world({}), [acquire('a', 1), acquire('a', 1), acquire('b', 1)]),
  script(
    'acquire held up by a claim ends its backend',
    world({}),
    [
      begin('a'),
      claim('a'),
      acquire('b', 2, 100),
      does('b', 'lock timeout', { untilDoneMs: 400 }),
      commit('a'),
    ],
    'b',
  ),
  script(
    'acquire held up by a stranger gives up',
    world({}),
    [
      begin('c'),
      does('c', 'set', { set: { table: 'partition_owner', key: 0, columns: { acquiredAt: -1 } } }),
      acquire('b', 2, 50),
      does('b', 'lock timeouts', { untilDoneMs: 400 }),
      commit('c'),
    ],
    'b',
  ),
  script(
    'a deadlock, which ends who waited first',
    world({ tasks: [runningBy('a')] }),
    [begin('a'), claim('a'), begin('b'), remove('b'), acquire('b', 2), finish('a'), commit('b'), commit('a')],
    'b',
  ),
  script('end-session of who runs, and of who does not', world({ tasks: [runningBy('b')] }), [
    endSession('b'),
    endSession('a'),
    release('a'),
    endSession('a'),
  ]),
  script(
    'end-session, then renew',
    world({ owners: [{}, {}] }),
    [begin('a'), endSession('a'), does('c', 'renew', renew('a').act), commit('a')],
    'c',
  ),
  script('payloads of my attempt, of another, of none that runs', world({ tasks: [runningBy('a')] }), [
    payloads('a', 1, 'a'),
    payloads('a', 2, 'a'),
    payloads('a', 1, 'b'),
    finish('a'),
    payloads('a', 1, 'a'),
  ]),
  script('running, peek, get and cluster before a commit, and after', world({}), [
    begin('a'),
    claim('a'),
    ...['c', 'a'].flatMap((by) => [
      does(by, 'running', ({ execution }) => execution.running(['a'])),
      does(by, 'peek', ({ execution }) => execution.peek([1, 0], 900_000)),
      does(by, 'get', ({ tasks }) => tasks.get(1)),
      does(by, 'cluster', ({ tasks }) => tasks.cluster()),
    ]),
    commit('a'),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
  ]),
  script(
    'notified at commit, once a content, and not of what is rolled back',
    world({ tasks: [runningBy('a')] }),
    [
      begin('a'),
      finish('a', { kind: 'HANDED_BACK' }),
      commit('a'),
      claim('a'),
      begin('c'),
      ...[1, 2].map(() =>
        does('c', 'insert', ({ tasks }) =>
          tasks.insert(
            ['x', 'y', 'k', 'x'].map((key) => ({ name: 'n', key, payload: null, scheduledAtMs: null })),
          ),
        ),
      ),
      commit('c'),
      begin('c'),
      does('c', 'insert', ({ tasks }) =>
        tasks.insert([{ name: 'n', key: 'z', payload: null, scheduledAtMs: null }]),
      ),
      rollback('c'),
    ],
  ),
];
