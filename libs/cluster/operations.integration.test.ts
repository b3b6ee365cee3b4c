import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { eventually } from '../testing/eventually.ts';
import type { TcpProxy } from '../testing/tcp-proxy.ts';
import { useZooKeeper } from '../testing/zookeeper-fixture.ts';
import {
  createEphemeral,
  createProtectedSequential,
  deleteNode,
  ensurePath,
  retryOnLoss,
  setDataAt,
} from './operations.ts';
import type { ZooKeeper } from './zookeeper.ts';

const EMPTY = Buffer.alloc(0);
const SOON = { withinMs: 5_000 };

describe('operations whose answer is lost', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: 100, sessionTimeoutMs: 2_000 });
  let proxy: TcpProxy;
  /** Its answers can be lost. */
  let zk: ZooKeeper;
  /** Sees what the server has done. */
  let other: ZooKeeper;
  let directory: string;
  let retry: { zk: ZooKeeper; clock: typeof systemClock; random: typeof systemRandom };

  beforeEach(async () => {
    proxy = await zookeeper.proxy();
    zk = await zookeeper.connect({ via: proxy });
    other = await zookeeper.connect();
    directory = await zookeeper.directory();
    retry = { zk, clock: systemClock, random: systemRandom };
  });

  /** Runs `operation`, but cuts the connection once the server has `applied` it and before its answer arrives. */
  async function losingTheAnswer<T>(
    operation: () => Promise<T>,
    applied: () => Promise<boolean>,
  ): Promise<T> {
    proxy.blackHole('TO_CLIENT');
    const result = operation();
    await eventually('applied', applied, SOON);
    proxy.cut();
    proxy.forward();
    return result;
  }

  const childrenOf = async (path: string) => (await other.getChildren(path)).children;

  it('a protected sequential create leaves one znode, and finds it', async () => {
    const path = await losingTheAnswer(
      () => createProtectedSequential(retry, { parent: directory, prefix: 'c-', guid: 'guid', data: EMPTY }),
      async () => (await childrenOf(directory)).length > 0,
    );
    const [only, ...ghosts] = await childrenOf(directory);
    expect(path).toBe(`${directory}/${only}`);
    expect(ghosts).toEqual([]);
  });

  it('an ephemeral create takes what is there as its own', async () => {
    const path = `${directory}/mine`;
    await losingTheAnswer(
      () => createEphemeral(retry, path, EMPTY),
      async () => (await other.exists(path)) !== null,
    );
    const state = zk.state;
    expect(state.kind === 'CONNECTED' && state.sessionId).toBe((await other.exists(path))?.ephemeralOwner);
  });

  it('an ephemeral create leaves alone what is someone else’s', async () => {
    const path = `${directory}/theirs`;
    await other.create(path, EMPTY, 'EPHEMERAL');
    await expect(createEphemeral(retry, path, EMPTY)).rejects.toMatchObject({ code: 'NODE_EXISTS' });
  });

  it('a delete is done', async () => {
    const path = await other.create(`${directory}/node`, EMPTY, 'PERSISTENT');
    await losingTheAnswer(
      () => deleteNode(retry, path, 0),
      async () => (await other.exists(path)) === null,
    );
    await expect(deleteNode(retry, path, 0)).rejects.toMatchObject({ code: 'NO_NODE' });
  });

  it('a conditional write knows itself by its data', async () => {
    const stat = await losingTheAnswer(
      () => setDataAt(retry, directory, Buffer.from('operation-1'), 0),
      async () => (await other.exists(directory))?.version === 1,
    );
    expect(stat.version).toBe(1);
  });

  it('a conditional write that came second is refused', async () => {
    await expect(
      losingTheAnswer(
        async () => {
          await other.setData(directory, Buffer.from('operation-2'), 0);
          return setDataAt(retry, directory, Buffer.from('operation-1'), 0);
        },
        async () => (await other.exists(directory))?.version === 1,
      ),
    ).rejects.toMatchObject({ code: 'BAD_VERSION' });
    expect((await other.getData(directory)).data.toString()).toBe('operation-2');
  });

  it('a path is there, whatever of it was there before', async () => {
    await ensurePath(retry, `${directory}/a/b`);
    await losingTheAnswer(
      () => ensurePath(retry, `${directory}/a/b/c/d`),
      () => Promise.resolve(proxy.heldToClient > 0),
    );
    expect(await childrenOf(`${directory}/a/b/c`)).toEqual(['d']);
  });

  it('what belongs to a session does not go on in the next', async () => {
    let pausedMs = 0;
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + pausedMs };
    zk = await zookeeper.connect({ via: proxy, clock });
    proxy.blackHole('TO_CLIENT');
    const created = createEphemeral({ ...retry, zk }, `${directory}/mine`, EMPTY);
    pausedMs = 2_001;
    proxy.forward();
    await expect(created).rejects.toMatchObject({ code: 'SESSION_EXPIRED' });
  });

  it('a read waits for the connection, but not for ever', async () => {
    proxy.refuse();
    proxy.cut();
    const read = retryOnLoss(retry, () => zk.getData(directory));
    const hasty = retryOnLoss({ ...retry, timeoutMs: 50 }, () => zk.getData(directory));
    await expect(hasty).rejects.toMatchObject({ code: 'CONNECTION_LOSS' });
    proxy.forward();
    expect((await read).stat.version).toBe(0);
  });
});
