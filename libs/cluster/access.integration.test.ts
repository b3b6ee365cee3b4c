import { describe, expect, it } from 'vitest';
import { eventually } from '../testing/eventually.ts';
import { recordStates, useZooKeeper } from '../testing/zookeeper-fixture.ts';
import { accessOf, closeZnodes } from './access.ts';
import type { AccessControl } from './access.ts';
import { bootstrapTree } from './bootstrap.ts';
import { clusterPaths } from './paths.ts';
import type { ZooKeeper } from './zookeeper.ts';

const AUTH = { user: 'scheduler', password: 'secret' };
const EMPTY = Buffer.alloc(0);

describe('znodes created with credentials', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: 100, sessionTimeoutMs: 2_000 });

  it('are read by anyone, and changed by nobody else, whether created alone or in a multi', async () => {
    const [directory, owner] = [await zookeeper.directory(), await zookeeper.connect({ auth: AUTH })];
    const alone = await owner.create(`${directory}/alone`, Buffer.from('data'), 'PERSISTENT');
    const [inMulti, ephemeral] = [`${directory}/in-multi`, `${directory}/alone/ephemeral`];
    await owner.multi([
      { op: 'create', path: inMulti, data: Buffer.from('data'), mode: 'PERSISTENT' },
      { op: 'create', path: ephemeral, data: Buffer.from('data'), mode: 'EPHEMERAL' },
    ]);
    const strangers = {
      'without credentials': await zookeeper.connect(),
      'with a wrong password': await zookeeper.connect({ auth: { ...AUTH, password: 'guessed' } }),
    };
    for (const [name, stranger] of Object.entries(strangers)) {
      for (const path of [alone, inMulti, ephemeral]) {
        expect((await stranger.getData(path)).data.toString(), `${name}, ${path}`).toBe('data');
        expect(await refusals(stranger, path), `${name}, ${path}`).toEqual(Array(5).fill('NO_AUTH'));
      }
      await expect(stranger.delete(ephemeral, -1), name).rejects.toMatchObject({ code: 'NO_AUTH' });
    }
    await owner.setData(alone, EMPTY, -1);
  });

  it('are its own after a reconnect and in another session too', async () => {
    const proxy = await zookeeper.proxy();
    const [directory, owner] = [
      await zookeeper.directory(),
      await zookeeper.connect({ via: proxy, auth: AUTH }),
    ];
    const path = await owner.create(`${directory}/ours`, EMPTY, 'PERSISTENT');
    const states = recordStates(owner);
    proxy.cut();
    await eventually('reconnected', () => states.length >= 3, { withinMs: 5_000 });
    await owner.setData(path, EMPTY, 0);
    await (await zookeeper.connect({ auth: AUTH })).setData(path, EMPTY, 1);
  });

  it('an open tree is closed once, but for what running sessions hold', async () => {
    const [directory, stranger] = [await zookeeper.directory(), await zookeeper.connect()];
    await stranger.create(`${directory}/a`, EMPTY, 'PERSISTENT');
    await stranger.create(`${directory}/a/b`, EMPTY, 'PERSISTENT');
    await stranger.create(`${directory}/ephemeral`, EMPTY, 'EPHEMERAL');
    const owner = await zookeeper.connect({ auth: AUTH });

    const { open, foreign } = await accessOf(owner, directory, AUTH);
    expect(foreign).toEqual([]);
    const closed = await closeZnodes(owner, open);
    expect(closed.toSorted()).toEqual([directory, `${directory}/a`, `${directory}/a/b`]);
    expect(await closeZnodes(owner, open)).toEqual([]);
    expect(await refusals(stranger, `${directory}/a/b`)).toEqual(Array(5).fill('NO_AUTH'));
    await stranger.setData(`${directory}/ephemeral`, EMPTY, -1);
    expect(await accessOf(owner, directory, AUTH)).toEqual({ open: [], foreign: [] });
  });

  it('a tree of other credentials, or of some where none are given, is told by name', async () => {
    const [directory, owner] = [await zookeeper.directory(), await zookeeper.connect({ auth: AUTH })];
    const path = await owner.create(`${directory}/theirs`, EMPTY, 'PERSISTENT');
    const wrong = { ...AUTH, password: 'guessed' };
    const guesser = await zookeeper.connect({ auth: wrong });
    const foreign = [{ path, users: ['scheduler'] }];
    expect(await accessOf(guesser, path, wrong)).toEqual({ open: [], foreign });
    const stranger = await zookeeper.connect();
    expect(await accessOf(stranger, directory, undefined)).toMatchObject({
      open: [{ path: directory }],
      foreign,
    });
  });

  it('a tree of other credentials is not completed: the znode that may not be created is named', async () => {
    const [directory, owner] = [await zookeeper.directory(), await zookeeper.connect({ auth: AUTH })];
    const paths = clusterPaths(`reserved-${directory.slice(1)}`);
    await owner.create(paths.root, EMPTY, 'PERSISTENT');
    const stranger = await zookeeper.connect();
    await expect(bootstrapTree(stranger, paths, { uid: 'u', partitions: 1 })).rejects.toMatchObject({
      code: 'NO_AUTH',
      message: `create ${paths.controller}: NO_AUTH: its parent is reserved to other credentials than ZOOKEEPER_AUTH`,
    });
  });

  /** What becomes of every way to change `path` or what is under it. */
  async function refusals(zk: ZooKeeper & AccessControl, path: string): Promise<unknown[]> {
    const attempts = [
      zk.setData(path, EMPTY, -1),
      zk.create(`${path}/child`, EMPTY, 'PERSISTENT'),
      zk.multi([{ op: 'setData', path, data: EMPTY, version: -1 }]),
      zk.multi([{ op: 'create', path: `${path}/child`, data: EMPTY, mode: 'PERSISTENT' }]),
      zk.setCreatorAcl(path, -1),
    ];
    const settled = await Promise.allSettled(attempts);
    return settled.map((each) =>
      each.status === 'rejected' ? (each.reason as { code: unknown }).code : 'done',
    );
  }
});
