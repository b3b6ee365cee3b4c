/** As hazards.integration.test.ts; here single operations do other than their names say. */
import zookeeper from 'node-zookeeper-client';
import { describe, expect, it } from 'vitest';
import { systemRandom } from '../runtime/system.ts';
import { eventually } from '../testing/eventually.ts';
import { useHazards, within } from '../testing/hazards.ts';

const EMPTY = Buffer.alloc(0);
const SOON = { withinMs: 5_000 };

describe.concurrent('hazards of the operations of node-zookeeper-client', () => {
  const { hazard, observer, server } = useHazards();

  hazard(
    'a write of 1 MiB costs the connection',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected();
      const outcome = await client.write(path, Buffer.alloc(1_048_576)).then(
        () => 'accepted',
        () => 'refused',
      );
      await client.read(path).catch(() => undefined);
      return { outcome, connections: proxy.accepted > 1 ? 'another' : 'the same' };
    },
    {
      bare: { outcome: 'refused', connections: 'another' },
      hardened: { outcome: 'refused', connections: 'the same' },
    },
  );

  hazard(
    'children come in no order',
    async ({ startConnected, path }) => {
      // Neither as they were made nor by their hashes are these in order.
      const names = Array.from({ length: 32 }, (_, i) => `n${(i * 13) % 32}-${systemRandom.uuid()}`);
      for (const name of names) await observer().create(`${path}/${name}`, EMPTY, 'PERSISTENT');
      const children = await (await startConnected()).children(path);
      return children.join() === names.toSorted().join() ? 'sorted' : 'unsorted';
    },
    { bare: 'unsorted', hardened: 'sorted' },
  );

  hazard(
    'a watcher is told neither of a lost connection nor of its return',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected({ sessionTimeoutMs: 4_000 });
      let told = 0;
      await client.follow(path, () => (told += 1));
      await client.read(path);
      const before = told;
      proxy.refuse();
      proxy.cut();
      await eventually('disconnected', () => !client.isConnected(), SOON);
      proxy.forward();
      await eventually('connected', () => client.isConnected(), SOON);
      return (await within(500, () => told > before)) ? 'looks again' : 'hears nothing';
    },
    { bare: 'hears nothing', hardened: 'looks again' },
  );

  it('what removes or lists a tree sees one level of it; ours has no such operation', async () => {
    const root = `/tree-${systemRandom.uuid()}`;
    const paths = [root, `${root}/a`, `${root}/a/b`, `${root}/a/b/c`];
    for (const path of paths) await observer().create(path, EMPTY, 'PERSISTENT');
    const { connectString } = server();
    const client = zookeeper.createClient(connectString, {
      sessionTimeout: 4_000,
      spinDelay: 50,
      retries: 0,
    });
    client.connect();
    const listed = await new Promise((resolve) => {
      client.listSubTreeBFS(root, (_error, found) => resolve(found));
    });
    expect(listed).toEqual([root, `${root}/a`]);
    const refused = await new Promise((resolve) => {
      client.removeRecursive(root, resolve);
    });
    expect(String(refused)).toContain('NOT_EMPTY');
    client.close();
    for (const operation of ['removeRecursive', 'listSubTreeBFS'])
      expect(operation in observer()).toBe(false);
  });
});
