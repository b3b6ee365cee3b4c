/** ZOOKEEPER_AUTH: the whole cluster works under it, and nobody else changes a znode of it. */
import { afterEach, expect, it } from 'vitest';
import type { AccessControl } from '../../libs/cluster/access.ts';
import { connectZooKeeper } from '../../libs/cluster/connection.ts';
import { whenConnected } from '../../libs/cluster/operations.ts';
import type { ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { ClusterUnderTest, FAILOVER_MS } from '../e2e/cluster-under-test.ts';

const CLUSTER_NAME = 'reserved';
const PASSWORD = 'kept-to-itself';
const ZOOKEEPER_AUTH = `scheduler:${PASSWORD}`;
const OWNERS_ALONE = ['1 world anyone', expect.stringMatching(/^31 digest scheduler:/)];

const release: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const each of release.splice(0).reverse()) await each();
});

async function start(env: Record<string, string>) {
  const server = await startTestZooKeeper();
  release.push(() => server.stop());
  const zookeeperConnect = server.connectString;
  const options = { workers: 2, partitions: 16, zookeeperConnect, env: { CLUSTER_NAME, ...env } };
  const cluster = await ClusterUnderTest.start(options);
  release.push(() => cluster.stop());
  const connect = async (password?: string) => {
    const zk = connectZooKeeper({
      connectString: server.connectString,
      sessionTimeoutMs: 4_000,
      clock: systemClock,
      random: systemRandom,
      auth: password === undefined ? undefined : { user: 'scheduler', password },
    });
    release.push(() => zk.close());
    await whenConnected(zk, { clock: systemClock, timeoutMs: 10_000 });
    return zk;
  };
  return { cluster, connect };
}

/** Every path of the cluster, parents first. */
async function tree(zk: ZooKeeper, path = `/${CLUSTER_NAME}`): Promise<string[]> {
  const { children } = await zk.getChildren(path);
  const below = await Promise.all(children.map((child) => tree(zk, `${path}/${child}`)));
  return [path, ...below.flat()];
}

/** The ACL of every znode. */
async function acls(zk: ZooKeeper & AccessControl): Promise<Record<string, string[]>> {
  const entries = (await tree(zk)).map(async (path) => {
    const { acl } = await zk.getAcl(path);
    return [path, acl.map(({ perms, scheme, id }) => `${perms} ${scheme} ${id}`).toSorted()] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** What `stranger` is told at every attempt to change a znode, by path, where it is not NO_AUTH. */
async function intrusions(stranger: ZooKeeper & AccessControl, paths: readonly string[]) {
  const nothing = Buffer.alloc(0);
  const attempts = paths.flatMap((path) => [
    [`set ${path}`, stranger.setData(path, nothing, -1)] as const,
    [`delete ${path}`, stranger.delete(path, -1)] as const,
    [`create below ${path}`, stranger.create(`${path}/intruder`, nothing, 'PERSISTENT')] as const,
    [`take ${path}`, stranger.setCreatorAcl(path, -1)] as const,
  ]);
  const outcomes = await Promise.allSettled(attempts.map(([, attempt]) => attempt));
  return attempts.flatMap(([what], index) => {
    const outcome = outcomes[index];
    const code = outcome?.status === 'rejected' ? (outcome.reason as { code: string }).code : 'done';
    return code === 'NO_AUTH' ? [] : [`${what}: ${code}`];
  });
}

it('a cluster with credentials: everyone may look, nobody else changes anything', async () => {
  const { cluster, connect } = await start({ ZOOKEEPER_AUTH });
  const [stranger, guesser] = [await connect(), await connect('guessed')];

  const found = await acls(stranger);
  const kinds = [
    'controller/leader',
    'controller/term',
    'plan',
    'meta',
    'grants/worker-1',
    'grants/worker-2',
  ];
  for (const kind of kinds) expect(Object.keys(found)).toContain(`/${CLUSTER_NAME}/${kind}`);
  for (const prefix of ['live/worker-', 'acks/worker-', 'controller/election/c-']) {
    expect(Object.keys(found).some((path) => path.startsWith(`/${CLUSTER_NAME}/${prefix}`))).toBe(true);
  }
  for (const [path, acl] of Object.entries(found)) expect(acl, path).toEqual(OWNERS_ALONE);

  const paths = Object.keys(found);
  // Its parent is ZooKeeper's own, where everyone may delete what is empty.
  const allowed = [`delete /${CLUSTER_NAME}: NOT_EMPTY`];
  expect(await intrusions(stranger, paths)).toEqual(allowed);
  expect(await intrusions(guesser, paths)).toEqual(allowed);

  // It works all the while: tasks, a crash, a newcomer, a controller that resigns.
  await cluster.ended((await cluster.submit({ name: 'before' })).id, 20_000);
  await cluster.app('worker-2').kill();
  await cluster.balanced(1, FAILOVER_MS + 20_000);
  cluster.startWorker('worker-3');
  cluster.startController('controller-2');
  await cluster.balanced(2);
  cluster.app('controller-1').signal('SIGTERM');
  expect(await cluster.app('controller-1').exit()).toBe(0);
  cluster.startWorker('worker-4');
  await cluster.balanced(3);
  await cluster.ended((await cluster.submit({ name: 'after' })).id, 20_000);
  for (const [path, acl] of Object.entries(await acls(stranger))) expect(acl, path).toEqual(OWNERS_ALONE);

  const intruder = cluster.startInit({ ZOOKEEPER_AUTH: 'scheduler:guessed' });
  expect(await intruder.exit()).not.toBe(0);
  expect(intruder.transcript()).toContain('are reserved to others than ZOOKEEPER_AUTH');
  for (const app of cluster.apps.values()) expect(app.transcript(10_000)).not.toContain(PASSWORD);
  expect(intruder.transcript(10_000)).not.toContain('guessed');
});

it('a cluster that was open is closed when it is given credentials', async () => {
  const { cluster, connect } = await start({});
  const closing = cluster.startInit({ ZOOKEEPER_AUTH });
  expect(await closing.exit()).toBe(0);
  expect(closing.transcript()).toMatch(/was open to everyone: \d+ znodes are reserved to ZOOKEEPER_AUTH/);

  // Without the credentials a process can do no more; with them it can, and the last ephemerals are closed too.
  for (const [name, app] of cluster.apps) if (/worker|controller/.test(name)) await app.kill();
  cluster.startController('controller-2', { ZOOKEEPER_AUTH });
  for (const name of ['worker-3', 'worker-4']) cluster.startWorker(name, { ZOOKEEPER_AUTH });
  await eventually(
    'the newcomers own everything',
    async () =>
      [...(await cluster.owners()).values()].every((owner) => owner === 'worker-3' || owner === 'worker-4'),
    { withinMs: 60_000 },
  );
  await cluster.ended((await cluster.submit({ name: 'after' })).id, 20_000);
  const stranger = await connect();
  await eventually(
    'all is closed',
    async () => Object.values(await acls(stranger)).every((acl) => acl.length === 2),
    { withinMs: 30_000 },
  );
  expect(await intrusions(stranger, await tree(stranger))).toEqual([`delete /${CLUSTER_NAME}: NOT_EMPTY`]);
  const without = cluster.startInit();
  expect(await without.exit()).not.toBe(0);
  expect(without.transcript()).toContain('reserved to credentials, and ZOOKEEPER_AUTH is not set');
});
