/** Interleavings that matter, one by one. */
import {
  acquire,
  begin,
  claim,
  change,
  claimBeyond,
  commit,
  COMPLETED,
  does,
  ended,
  endSession,
  finish,
  finishAll,
  finishSerial,
  join,
  LINE_KEY,
  lineOf,
  orphaned,
  ownedBy,
  payloads,
  peekBeyond,
  PENDING,
  RECORD,
  recordOf,
  recover,
  release,
  remove,
  removeFinished,
  renew,
  report,
  retry,
  rollback,
  runningBy,
  session,
  steer,
  submitOnce,
  world,
} from './script-steps.ts';
import type { Step, World } from './script.ts';

export interface Script {
  readonly name: string;
  readonly world: World;
  readonly steps: readonly Step[];
  /** Who waits after each step, so that no script loses its point. */
  readonly waiting: readonly string[];
}

const script = (name: string, at: World, steps: Step[], ...waiting: string[]): Script => ({
  ...{ name, world: at, steps, waiting },
});

const IN_HAND = recordOf('a');

export const SCRIPTS: readonly Script[] = [
  script('a line: one at a time, in order', lineOf(3), [
    ...[claim('a'), claim('a'), finishSerial('a', 1), claim('a'), finishSerial('a', 2), claim('a')],
  ]),
  script(
    'outcome in a line, then claim, which finds the next',
    lineOf(2, { records: [IN_HAND] }),
    [begin('a'), finishSerial('a', 1), does('c', 'claim', claim('a').act), commit('a')],
    'c',
  ),
  script(
    'outcome in a line undone, then claim',
    lineOf(2, { records: [IN_HAND] }),
    [begin('a'), finishSerial('a', 1), does('c', 'claim', claim('a').act), rollback('a')],
    'c',
  ),
  script(
    'claim, then outcome in a line, which waits for it',
    lineOf(2, { records: [IN_HAND] }),
    [begin('a'), claim('a'), does('c', 'finish', finishSerial('a', 1).act), commit('a'), claim('a')],
    'c',
  ),
  script(
    'one in line that is to be retried, before one that came meanwhile and after one of an earlier time',
    lineOf(2, { records: [IN_HAND] }),
    [
      ...[join('c', -9), finishSerial('a', 1, { kind: 'RETRY', delayMs: 600_000, error: 'x' }), claim('a')],
      ...[join('c', -11), claim('a'), join('c', -12), claim('a')],
    ],
  ),
  script(
    'one that joins before the head, then claim',
    lineOf(2),
    [begin('c'), join('c', -11), claim('a'), commit('c'), claim('a')],
    'a',
  ),
  script(
    'one that would have joined before the head, then claim',
    lineOf(2),
    [begin('c'), join('c', -11), claim('a'), rollback('c')],
    'a',
  ),
  script(
    'claim of the head, then one that joins before it',
    lineOf(2),
    [
      begin('a'),
      claim('a'),
      join('c', -11),
      commit('a'),
      claim('a'),
      finishSerial('a', 1, COMPLETED, []),
      claim('a'),
    ],
    'c',
  ),
  script(
    'two that join an empty line at once',
    world({}),
    [begin('c'), join('c', -11), join('d', -12), commit('c'), claim('a')],
    'd',
  ),
  script(
    'one that joins while the last in line ends',
    lineOf(1, { records: [IN_HAND] }),
    [begin('a'), finishSerial('a', 1), join('c', -11), commit('a'), claim('a')],
    'c',
  ),
  script(
    'outcome of the last in line while one joins',
    lineOf(1, { records: [IN_HAND] }),
    [begin('c'), join('c', -11), finishSerial('a', 1), commit('c'), claim('a')],
    'a',
  ),
  script('a head that goes, one way or another', lineOf(5), [
    ...[steer('c', 'remove', 1), steer('c', 'cancel', 2), steer('c', 'cancel', 4)],
    ...[change('c', 3, { delayMs: 900_000 }), claim('a')],
  ]),
  script('in the middle: removed, cancelled, retried, moved to the front, run now', lineOf(5), [
    ...[steer('c', 'remove', 2), steer('c', 'cancel', 3), steer('c', 'retry', 3), steer('c', 'run', 4)],
    ...[change('c', 5, { scheduledAtMs: 0 }), claim('a')],
  ]),
  script(
    'a head not due for long yields to one that is run now, and takes its place again when it is',
    lineOf(2),
    [
      ...[
        change('c', 1, { delayMs: 1_800_000 }),
        change('c', 2, { delayMs: 1_900_000 }),
        steer('c', 'run', 2),
      ],
      ...[steer('c', 'run', 1), claim('a')],
    ],
  ),
  script('what was cancelled takes its place again when it is retried', lineOf(3), [
    ...[steer('c', 'cancel', 1), steer('c', 'retry', 1), claim('a'), steer('c', 'cancel', 2)],
    ...[finishSerial('a', 1, { kind: 'FAILED', error: 'x' }), steer('c', 'retry', 2), claim('a')],
  ]),
  script('a head that runs, cancelled and removed: the next goes with its outcome', lineOf(3), [
    ...[claim('a'), steer('c', 'cancel', 1), claim('a'), finishSerial('a', 1, { kind: 'HANDED_BACK' })],
    ...[claim('a'), steer('c', 'remove', 2), claim('a'), finishSerial('a', 2, COMPLETED, []), claim('a')],
  ]),
  script(
    'a line whose head was lost with its worker',
    lineOf(2, {
      records: [IN_HAND],
      owners: [ownedBy('b', 2), {}],
      sessions: [session('a', { expiresAt: -2 }), session('b')],
    }),
    [join('c', -11), claim('b', 2), begin('b'), recover('b'), join('c', -12), commit('b'), claim('b', 2)],
    'c',
  ),
  script(
    'a line whose head was lost with its worker, and was to be removed',
    lineOf(2, {
      tasks: [1, 2].map((id) => ({
        ...{ ...PENDING, key: LINE_KEY, serial: true, blocked: id > 1, scheduledAt: -10 + id },
        ...(id === 1 && { cancelRequestedAt: -1, removalRequested: true }),
      })),
      records: [IN_HAND],
      owners: [ownedBy('b', 2), {}],
      sessions: [session('a', { expiresAt: -2 }), session('b')],
    }),
    [begin('b'), recover('b'), finishSerial('a', 1), commit('b'), claim('b', 2)],
    'a',
  ),
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
  script(
    'claim behind a claim of the same worker, which takes nothing of what that one took',
    world({ tasks: [PENDING, PENDING] }),
    [begin('a'), claim('a', 1, 1), does('c', 'claim', claim('a').act), commit('a')],
    'c',
  ),
  script(
    'claim behind a claim that is rolled back',
    world({ tasks: [PENDING, PENDING] }),
    [begin('a'), claim('a', 1, 1), does('c', 'claim', claim('a').act), rollback('a')],
    'c',
  ),
  script('claim by an incarnation that was overtaken', world({ owners: [ownedBy('b', 2), {}] }), [
    claim('a'),
  ]),
  script(
    'claim beyond a position, and peek',
    world({ tasks: [-10, -12, -12, -11, 10].map((dueAt) => ({ ...PENDING, dueAt })) }),
    [
      ...[peekBeyond('a', -12, 2), claimBeyond('a', -12, 2), peekBeyond('a', -12, 2)],
      ...[claimBeyond('a', -12, 3), claimBeyond('a', -10, 1), peekBeyond('a', -10, 1), claim('a')],
    ],
  ),
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
  script(
    'remove, then claim',
    world({}),
    [begin('c'), remove('c'), claim('a'), commit('c'), claim('a')],
    'a',
  ),
  script(
    'remove rolled back, then claim',
    world({}),
    [begin('c'), remove('c'), claim('a'), rollback('c'), claim('a')],
    'a',
  ),
  script(
    'remove beside remove',
    world({ tasks: [PENDING, PENDING] }),
    [begin('c'), remove('c'), remove('d'), commit('c')],
    'd',
  ),
  script(
    'remove, then finish',
    world(runningBy('a')),
    [begin('c'), remove('c'), finish('a'), commit('c'), finish('a')],
    'a',
  ),
  script(
    'finish, then remove',
    world(runningBy('a')),
    [begin('a'), finish('a'), remove('c'), commit('a'), remove('c')],
    'c',
  ),
  script(
    'finish with a retry, then remove',
    world(runningBy('a')),
    [begin('a'), finish('a', { kind: 'RETRY', delayMs: 0, error: 'x' }), remove('c'), commit('a')],
    'c',
  ),
  script(
    'finish, then recover',
    orphaned(),
    [begin('a'), finish('a'), recover('b'), commit('a'), recover('b')],
    'b',
  ),
  script(
    'finish rolled back, then recover',
    orphaned(),
    [begin('a'), finish('a'), recover('b'), rollback('a'), finish('a')],
    'b',
  ),
  script(
    'finish that does not settle its record, then recover',
    orphaned(),
    [begin('a'), finish('a', COMPLETED, []), recover('b'), commit('a'), recover('b')],
    'b',
  ),
  script(
    'recover, then finish that does not settle its record',
    orphaned(),
    [begin('b'), recover('b'), finish('a', COMPLETED, []), commit('b')],
    'a',
  ),
  script(
    'recover a record of which some tasks have ended, some are gone, some to be removed',
    world({
      tasks: [
        { ...PENDING, status: 'COMPLETED', attempt: 1, completedAt: -2, incarnation: 'a', workerId: 'a' },
        PENDING,
        { ...PENDING, attempt: 1, incarnation: 'a', workerId: 'a' },
        { ...PENDING, cancelRequestedAt: -1 },
      ],
      records: [recordOf('a', { taskIds: [4, 3, 2, 1, 99], attempts: [1, 1, 1, 1, 1] })],
      owners: [ownedBy('b', 2), {}],
      sessions: [session('a', { expiresAt: -2 }), session('b')],
    }),
    [recover('b'), finishAll('a', [1, 2, 3, 4], COMPLETED, [RECORD])],
  ),
  script(
    'a record of the former owner, whose lease stands, and its end',
    world({
      tasks: [PENDING, PENDING, PENDING],
      records: [recordOf('a', { taskIds: [1, 2], attempts: [1, 1] })],
      owners: [ownedBy('b', 2), {}],
    }),
    [
      ...[claim('b', 2), recover('b'), finishAll('a', [1], { kind: 'HANDED_BACK' }, []), claim('b', 2)],
      ...[finishAll('a', [2], COMPLETED, [RECORD]), claim('b', 2), endSession('a')],
    ],
  ),
  script(
    'claim before the former owner hands a task back, which the next one finds',
    world({ ...runningBy('a'), owners: [ownedBy('b', 2), {}] }),
    [begin('a'), finish('a', { kind: 'HANDED_BACK' }), claim('b', 2), commit('a'), claim('b', 2)],
  ),
  script('recover, then finish', orphaned(), [begin('b'), recover('b'), finish('a'), commit('b')], 'a'),
  script(
    'recover rolled back, then finish',
    orphaned(),
    [begin('b'), recover('b'), finish('a'), rollback('b')],
    'a',
  ),
  script(
    'finish repeated while the first is under way',
    world(runningBy('a')),
    [begin('a'), finish('a', { kind: 'HANDED_BACK' }), does('c', 'finish', finish('a').act), commit('a')],
    'c',
  ),
  script(
    'finish while the task changes without ending',
    world(runningBy('a')),
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
    world(runningBy('a')),
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
    world(runningBy('a')),
    [begin('a'), claim('a'), begin('b'), finish('b'), acquire('b', 2), finish('a'), commit('b'), commit('a')],
    'b',
  ),
  script('end-session of who runs, and of who does not', world(runningBy('b')), [
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
  script(
    'remove finished: what ended long ago, of whatever is there',
    world({
      tasks: [
        ...[ended(-6), ended(-4), { ...PENDING, createdAt: -9 }, ended(-6, { status: 'FAILED' })],
        ...[ended(-7, { status: 'CANCELLED', attempt: 0 }), { ...PENDING, createdAt: -9 }, ended(-6)],
        ...[ended(-6, { createdAt: -5 }), { ...PENDING, createdAt: -3 }, ended(-6)],
      ],
      // Of what ended, one is named still by the record of its batch.
      records: [recordOf('a', { taskIds: [3, 7], attempts: [1, 1] })],
    }),
    [
      ...[removeFinished('a'), removeFinished('a'), finishAll('a', [3, 7], COMPLETED, [RECORD])],
      removeFinished('a'),
    ],
  ),
  script(
    'remove finished, little by little, over what was removed before, and anew',
    world({
      tasks: [...[-6, -7, -4, -8].map((at) => ended(at)), { ...PENDING, createdAt: -9 }, ended(-6)],
      retention: { begunAt: -11 },
    }),
    [
      ...[removeFinished('a', 2, 1), removeFinished('b', 2, 1), removeFinished('a', 2, 9)],
      ...[removeFinished('a', 1, 1), removeFinished('b', 9, 9), removeFinished('a', 3, 9)],
      ...[removeFinished('a', 3, 9), removeFinished('a', 3, 9)],
    ],
  ),
  script(
    'remove finished, from a pass that began in the future',
    world({ tasks: [ended(-4), ended(-6)], retention: { place: 1, begunAt: 30 } }),
    [removeFinished('a'), removeFinished('a')],
  ),
  script(
    'remove finished beside remove finished, which does nothing',
    world({ tasks: [ended(-6), ended(-6)] }),
    [begin('a'), removeFinished('a', 1), removeFinished('b'), commit('a'), removeFinished('b')],
  ),
  script('remove finished rolled back, and again', world({ tasks: [ended(-6), ended(-6)] }), [
    begin('a'),
    removeFinished('a'),
    rollback('a'),
    removeFinished('b'),
  ]),
  script(
    'remove finished beside a retry: what waits again is kept, and nobody has waited',
    world({ tasks: [ended(-6, { status: 'FAILED' }), ended(-6)] }),
    [begin('c'), retry('c'), removeFinished('a'), commit('c'), removeFinished('a'), claim('a')],
  ),
  script(
    'remove finished beside a retry that is rolled back: the task is left for the next pass',
    world({ tasks: [ended(-6, { status: 'FAILED' })], retention: { begunAt: -11 } }),
    [begin('c'), retry('c'), removeFinished('a'), rollback('c'), removeFinished('a')],
  ),
  script(
    'remove finished, then retry, remove and an outcome once more',
    world({ tasks: [ended(-6, { status: 'FAILED' })] }),
    [begin('a'), removeFinished('a'), retry('c'), remove('d'), commit('a'), finish('a')],
    ...['c', 'd'],
  ),
  script('payloads of my attempt, of another, of none that runs', world(runningBy('a')), [
    payloads('a', 1, 'a'),
    payloads('a', 2, 'a'),
    payloads('a', 1, 'b'),
    finish('a'),
    payloads('a', 1, 'a'),
  ]),
  script('progress of my attempt, of another, of none that runs', world(runningBy('a')), [
    report('a', 0.5),
    report('a', 0.6, { attempt: 2 }),
    report('a', 0.7, { incarnation: 'b' }),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
    finish('a', { kind: 'HANDED_BACK' }),
    report('a', 0.8),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
    claim('a'),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
  ]),
  script('progress while its attempt ends, and after that was rolled back', world(runningBy('a')), [
    begin('a'),
    finish('a'),
    report('c', 0.5),
    rollback('a'),
    report('c', 0.6),
    begin('a'),
    finish('a'),
    commit('a'),
    report('c', 0.7),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
  ]),
  script(
    'progress, then the end of its attempt',
    world(runningBy('a')),
    [begin('a'), report('a', 0.5), finish('b'), commit('a')],
    'b',
  ),
  script(
    'progress, then a removal',
    world(runningBy('a')),
    [begin('a'), report('a', 0.5), remove('c'), commit('a')],
    'c',
  ),
  script('progress beside progress', world(runningBy('a')), [
    begin('a'),
    report('a', 0.5),
    report('c', 0.6),
    commit('a'),
  ]),
  script('progress of what a user is cancelling', world(runningBy('a')), [
    begin('c'),
    does('c', 'cancel', ({ tasks }) => tasks.cancel(1)),
    report('a', 0.5),
    commit('c'),
    report('a', 0.6),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
  ]),
  script('running, peek, get and cluster before a commit, and after', world({}), [
    begin('a'),
    claim('a'),
    ...['c', 'a'].flatMap((by) => [
      does(by, 'running', ({ execution }) => execution.running(['a'], [{ partition: 1 }, { partition: 0 }])),
      does(by, 'peek', ({ execution }) =>
        execution.peek([{ partition: 1 }, { partition: 0 }], 900_000, [by]),
      ),
      does(by, 'get', ({ tasks }) => tasks.get(1)),
      does(by, 'cluster', ({ tasks }) => tasks.cluster()),
    ]),
    commit('a'),
    does('c', 'get', ({ tasks }) => tasks.get(1)),
  ]),
  script('a submission with a key, while others use that, and after', world(runningBy('a')), [
    begin('a'),
    submitOnce('a', 'k', 'l'),
    submitOnce('c', 'l'),
    submitOnce('c', 'm', 'k', 'm'),
    commit('a'),
    submitOnce('c', 'k'),
    submitOnce('c', 'l', 'n'),
    begin('a'),
    submitOnce('a', 'o'),
    rollback('a'),
    submitOnce('c', 'o'),
  ]),
  script('notified at commit, once a content, and not of what is rolled back', world(runningBy('a')), [
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
  ]),
];
