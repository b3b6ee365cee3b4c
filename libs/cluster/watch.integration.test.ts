import { describe, expect, it } from 'vitest';
import { systemClock } from '../runtime/system.ts';
import { eventually } from '../testing/eventually.ts';
import { recordStates, useZooKeeper } from '../testing/zookeeper-fixture.ts';
import { watchChildren, watchData } from './watch.ts';
import type { Watch, WatchOptions } from './watch.ts';
import type { ZooKeeper } from './zookeeper.ts';

const EMPTY = Buffer.alloc(0);
const SOON = { withinMs: 5_000 };
/** So that nothing in these tests is owed to the periodic look. */
const NEVER_MS = 3_600_000;

describe('a watch', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: 100, sessionTimeoutMs: 1_000 });

  /** A reader as all of ours: woken, it reads what is there. */
  function follow<T>(
    watch: (options: WatchOptions) => Watch,
    {
      zk,
      path,
      read,
      periodMs = NEVER_MS,
    }: { zk: ZooKeeper; path: string; read: () => Promise<T>; periodMs?: number },
  ): { seen: T[]; watch: Watch } {
    const seen: T[] = [];
    const onChange = () => {
      void read().then(
        (value) => seen.push(value),
        () => undefined,
      );
    };
    return { seen, watch: watch({ zk, clock: systemClock, path, periodMs, onChange }) };
  }

  it('wakes its reader for a znode’s creation, each change and its deletion', async () => {
    const [zk, other, directory] = [
      await zookeeper.connect(),
      await zookeeper.connect(),
      await zookeeper.directory(),
    ];
    const path = `${directory}/node`;
    const read = async () =>
      (await zk.exists(path)) === null ? null : (await zk.getData(path)).data.toString();
    const { seen, watch } = follow(watchData, { zk, path, read });
    await eventually('looked', () => seen.length > 0, SOON);
    const last = (value: string | null) => eventually(`${value} seen`, () => seen.at(-1) === value, SOON);

    await last(null);
    await other.create(path, Buffer.from('1'), 'PERSISTENT');
    await last('1');
    await other.setData(path, Buffer.from('2'), -1);
    await last('2');
    await other.setData(path, Buffer.from('3'), -1);
    await last('3');
    await other.delete(path, -1);
    await last(null);
    watch.close();
  });

  it('follows the children of a path that comes later', async () => {
    const [zk, other, directory] = [
      await zookeeper.connect(),
      await zookeeper.connect(),
      await zookeeper.directory(),
    ];
    const path = `${directory}/parent`;
    const { seen, watch } = follow(watchChildren, {
      zk,
      path,
      read: async () => (await zk.getChildren(path)).children,
    });
    await other.create(path, EMPTY, 'PERSISTENT');
    await eventually('empty', () => seen.at(-1)?.length === 0, SOON);
    for (const name of ['c', 'a', 'b']) await other.create(`${path}/${name}`, EMPTY, 'PERSISTENT');
    await eventually('three children', () => seen.at(-1)?.join() === 'a,b,c', SOON);
    watch.close();
  });

  it('misses nothing over a reconnect, nor over a new session', async () => {
    const [proxy, other, directory] = [
      await zookeeper.proxy(),
      await zookeeper.connect(),
      await zookeeper.directory(),
    ];
    const zk = await zookeeper.connect({ via: proxy });
    const states = recordStates(zk);
    const read = async () => (await zk.getData(directory)).data.toString();
    const { seen, watch } = follow(watchData, { zk, path: directory, read });

    for (const end of ['SUSPENDED', 'LOST']) {
      proxy.refuse();
      proxy.cut();
      await eventually(end, () => states.some(({ kind }) => kind === end), SOON);
      await other.setData(directory, Buffer.from(end), -1);
      proxy.forward();
      await eventually('seen what changed meanwhile', () => seen.at(-1) === end, SOON);
      await other.setData(directory, Buffer.from(`after ${end}`), -1);
      await eventually('seen what changed after', () => seen.at(-1) === `after ${end}`, SOON);
    }
    watch.close();
  });

  it('wakes its reader now and then even if nothing happens, and no more once closed', async () => {
    const [zk, directory] = [await zookeeper.connect(), await zookeeper.directory()];
    let wakes = 0;
    const read = () => Promise.resolve((wakes += 1));
    const { watch } = follow(watchData, { zk, path: directory, read, periodMs: 20 });
    const { watch: witness, seen } = follow(watchData, {
      zk,
      path: directory,
      read: () => Promise.resolve(0),
      periodMs: 20,
    });
    await eventually('woken ten times', () => wakes >= 10, SOON);
    watch.close();
    const atClose = wakes;
    const witnessed = seen.length;
    await eventually('time has passed', () => seen.length > witnessed + 10, SOON);
    expect(wakes).toBe(atClose);
    witness.close();
  });
});
