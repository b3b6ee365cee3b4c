import { describe, expect, it } from 'vitest';
import {
  EPHEMERAL,
  EPHEMERAL_SEQUENTIAL,
  MachineDriver,
  PERSISTENT_SEQUENTIAL,
  check,
  create,
  remove,
  setData,
} from '../../testing/zookeeper/machine-driver.ts';
import type { MultiResult, Reply, Request, Stat } from './protocol.ts';
import { ErrorCode } from './protocol.ts';
import { StateMachine } from './state-machine.ts';

function pathOf({ body }: Reply): string | undefined {
  return body.type === 'path' ? body.path : undefined;
}

function statIn({ body }: Reply): Stat | undefined {
  return 'stat' in body ? body.stat : undefined;
}

function resultsIn({ body }: Reply): readonly MultiResult[] | undefined {
  return body.type === 'multi' ? body.results : undefined;
}

const exists = (path: string, watch = false): Request => ({ type: 'exists', path, watch });
const getData = (path: string, watch = false): Request => ({ type: 'getData', path, watch });
const getChildren = (path: string, watch = false): Request => ({ type: 'getChildren2', path, watch });
const multi = (...ops: Extract<Request, { type: 'multi' }>['ops']): Request => ({ type: 'multi', ops });

describe('znodes', () => {
  it('numbers sequential children by how many were ever created, whatever their kind', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    driver.send(client, create('/q'));
    expect(pathOf(driver.send(client, create('/q/s-', PERSISTENT_SEQUENTIAL)))).toBe('/q/s-0000000000');
    driver.send(client, create('/q/plain'));
    driver.send(client, remove('/q/plain'));
    expect(pathOf(driver.send(client, create('/q/e-', EPHEMERAL_SEQUENTIAL)))).toBe('/q/e-0000000002');
    expect(pathOf(driver.send(client, create('/q/', PERSISTENT_SEQUENTIAL)))).toBe('/q/0000000003');
  });

  it('shows a cversion of twice the creations less the children', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    for (const path of ['/p', '/p/a', '/p/b', '/p/c']) driver.send(client, create(path));
    driver.send(client, remove('/p/b'));
    expect(statIn(driver.send(client, exists('/p')))).toMatchObject({ cversion: 2 * 3 - 2, numChildren: 2 });
  });

  it('stamps a znode with the zxid and the wall time of what was done to it', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    driver.nowMs = 5;
    const { zxid } = driver.send(client, create('/a'));
    driver.nowMs = 8;
    driver.send(client, setData('/a', 'longer'));
    driver.send(client, create('/a/child'));
    expect(statIn(driver.send(client, exists('/a')))).toMatchObject({
      czxid: zxid,
      mzxid: zxid + 1n,
      pzxid: zxid + 2n,
      ctime: 1_700_000_000_005n,
      mtime: 1_700_000_000_008n,
      version: 1,
      dataLength: 6,
    });
  });

  it.each<[string, Request]>([
    ['NODE_EXISTS', create('/a')],
    ['NODE_EXISTS', create('/')],
    ['NO_NODE', create('/none/a')],
    ['NO_CHILDREN_FOR_EPHEMERALS', create('/e/child')],
    ['BAD_ARGUMENTS', create('/a/..')],
    ['NO_NODE', create('/a//b')],
    ['NO_NODE', create('/a/../b')],
    ['BAD_ARGUMENTS', create('no-slash')],
    ['BAD_ARGUMENTS', create('/a/\u0001')],
    ['BAD_ARGUMENTS', create('/x', 7)],
    ['UNIMPLEMENTED', create('/x', 4)],
    ['NOT_EMPTY', remove('/a')],
    ['BAD_VERSION', remove('/a/b', 1)],
    ['NO_NODE', remove('/none')],
    ['BAD_ARGUMENTS', remove('/zookeeper')],
    ['BAD_VERSION', setData('/a', '', 1)],
    ['BAD_VERSION', check('/a', 1)],
    ['OK', check('/a', 0)],
    ['NO_NODE', getChildren('/none')],
  ])('answers %s to %o', (error, request) => {
    const driver = new MachineDriver();
    const client = driver.open();
    for (const write of [create('/a'), create('/a/b'), create('/e', EPHEMERAL)]) driver.send(client, write);
    expect(driver.sendForError(client, request)).toBe(error);
  });

  it('gives a refused write a zxid too, and logs it, since the client has seen it', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    const before = driver.machine.zxid;
    expect(driver.send(client, remove('/none')).zxid).toBe(before + 1n);
    expect(driver.transactions.at(-1)).toMatchObject({ zxid: before + 1n, changes: [] });
  });
});

describe('multi', () => {
  it('has one zxid, and each operation sees those before it', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    const reply = driver.send(
      client,
      multi(
        create('/a'),
        create('/a/s-', PERSISTENT_SEQUENTIAL),
        check('/a', 0),
        setData('/a', 'x'),
        remove('/a/s-0000000000'),
      ),
    );
    expect(resultsIn(reply)).toMatchObject([
      { type: 'create', path: '/a' },
      { type: 'create', path: '/a/s-0000000000' },
      { type: 'check' },
      { type: 'setData', stat: { version: 1, numChildren: 1, mzxid: reply.zxid, czxid: reply.zxid } },
      { type: 'delete' },
    ]);
    expect(driver.transactions.at(-1)).toMatchObject({ zxid: reply.zxid });
  });

  it('is undone to the last detail where one operation is refused, and says which', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    for (const path of ['/a', '/a/b']) driver.send(client, create(path));
    driver.send(client, create('/a/e', EPHEMERAL));
    const before = driver.machine.snapshot();
    driver.send(client, getChildren('/a', true));
    const reply = driver.send(
      client,
      multi(
        create('/a/c', EPHEMERAL),
        setData('/a', 'x'),
        remove('/a/b'),
        remove('/a/e'),
        check('/a', 0),
        create('/z'),
      ),
    );
    const err = (code: keyof typeof ErrorCode) => ({ type: 'error', err: ErrorCode[code] });
    expect(reply.err).toBe(ErrorCode.OK);
    expect(resultsIn(reply)).toEqual([
      ...Array.from({ length: 4 }, () => err('OK')),
      err('BAD_VERSION'),
      err('RUNTIME_INCONSISTENCY'),
    ]);
    expect(driver.events(client)).toEqual([]);
    expect(driver.machine.snapshot()).toEqual({ ...before, zxid: before.zxid + 1n });
    // Nothing lingers of the ephemeral that was undone, nor is the one that was restored forgotten.
    driver.send(client, { type: 'closeSession' });
    expect(driver.transactions.at(-1)?.changes).toEqual([
      { type: 'delete', path: '/a/e' },
      { type: 'closeSession', sessionId: client },
    ]);
  });
});

describe('watches', () => {
  it('fire once, data before child before the parent’s, and a client that has both hears of a deletion once', () => {
    const driver = new MachineDriver();
    const [writer, watcher] = [driver.open(), driver.open()];
    for (const path of ['/p', '/p/a']) driver.send(writer, create(path));
    driver.send(watcher, getChildren('/p', true));
    driver.send(watcher, getChildren('/p/a', true));
    driver.send(watcher, getData('/p/a', true));
    driver.send(writer, remove('/p/a'));
    expect(driver.events(watcher)).toEqual(['NODE_DELETED /p/a', 'NODE_CHILDREN_CHANGED /p']);
    for (const write of [create('/p/a'), setData('/p/a', 'x')]) driver.send(writer, write);
    expect(driver.events(watcher)).toEqual([]);
  });

  it('reach the writer itself in the same outcome as its reply, to be sent before it', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    driver.send(client, exists('/a', true));
    const outcome = driver.machine.request(client, create('/a'), driver.now());
    expect(outcome.notifications).toEqual([
      { sessionId: client, event: { type: 'NODE_CREATED', path: '/a' } },
    ]);
    expect(outcome.reply?.err).toBe(ErrorCode.OK);
  });

  it('are left by an exists that finds nothing, and not by a getData or getChildren that fails', () => {
    const driver = new MachineDriver();
    const client = driver.open();
    driver.send(client, getData('/a', true));
    driver.send(client, getChildren('/a', true));
    driver.send(client, create('/a'));
    expect(driver.events(client)).toEqual([]);
    driver.send(client, exists('/b', true));
    driver.send(client, create('/b'));
    expect(driver.events(client)).toEqual(['NODE_CREATED /b']);
  });

  it('end with the connection, and setWatches arms them again or tells what was missed', () => {
    const driver = new MachineDriver();
    const [client, writer] = [driver.open(), driver.open()];
    for (const path of ['/kept', '/changed', '/gone', '/parent']) driver.send(writer, create(path));
    for (const path of ['/kept', '/changed', '/gone']) driver.send(client, getData(path, true));
    const seen = driver.send(client, exists('/born', true)).zxid;
    driver.machine.disconnect(client);
    const missed = [setData('/changed', 'x'), remove('/gone'), create('/born'), create('/parent/child')];
    for (const write of missed) driver.send(writer, write);
    expect(driver.events(client)).toEqual([]);

    expect(driver.reattach(client, { lastZxidSeen: seen })).toBe(1_000);
    driver.send(client, {
      type: 'setWatches',
      relativeZxid: seen,
      dataWatches: ['/kept', '/changed', '/gone'],
      existWatches: ['/born', '/unborn'],
      childWatches: ['/parent', '/gone', '/kept'],
    });
    expect(driver.events(client)).toEqual([
      'NODE_DATA_CHANGED /changed',
      'NODE_DELETED /gone',
      'NODE_CREATED /born',
      'NODE_CHILDREN_CHANGED /parent',
      'NODE_DELETED /gone',
    ]);
    for (const write of [setData('/kept', 'x'), create('/unborn'), create('/kept/child')])
      driver.send(writer, write);
    expect(driver.events(client)).toEqual([
      'NODE_DATA_CHANGED /kept',
      'NODE_CREATED /unborn',
      'NODE_CHILDREN_CHANGED /kept',
    ]);
  });
});

it('the transactions alone make the same state again', () => {
  const driver = new MachineDriver();
  const client = driver.open();
  const writes = [
    create('/a'),
    create('/a/e', EPHEMERAL),
    setData('/a', 'x'),
    remove('/none'),
    create('/a/s', 2),
  ];
  for (const write of writes) driver.send(client, write);
  driver.send(client, multi(setData('/a', 'y'), remove('/a/s0000000001')));
  const replica = new StateMachine({ tickTimeMs: 100, startMs: 0 });
  for (const transaction of driver.transactions) replica.replay(transaction, 0);
  const { sessions, ...rest } = driver.machine.snapshot();
  expect(replica.snapshot()).toMatchObject(rest);
  expect(replica.snapshot().sessions.map(({ sessionId }) => sessionId)).toEqual(
    sessions.map(({ sessionId }) => sessionId),
  );
});
