/**
 * What node-zookeeper-client gets wrong, each told as a story to the client as shipped, which shows the fault,
 * and to ours, which does not. All faults are made in the network between client and server, so the stories
 * hold for any server.
 */
import { describe } from 'vitest';
import { sleep } from '../core/clock.ts';
import { systemClock } from '../runtime/system.ts';
import { eventually } from '../testing/eventually.ts';
import { useHazards, within } from '../testing/hazards.ts';
import type { ClientUnderTest } from '../testing/zookeeper-clients.ts';
import { startTestZooKeeper } from '../testing/zookeeper.ts';

const EMPTY = Buffer.alloc(0);

describe.concurrent('hazards of node-zookeeper-client', () => {
  const { hazard, gone, observer } = useHazards();

  hazard(
    '1: a server that has fallen silent goes unnoticed, past the end of the session',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected();
      await client.createEphemeral(`${path}/ephemeral`);
      proxy.blackHole();
      await gone(`${path}/ephemeral`);
      return client.isConnected() ? 'believes itself connected' : 'knows better';
    },
    { bare: 'believes itself connected', hardened: 'knows better' },
  );

  hazard(
    '2: a server that accepts and says nothing is never left for another',
    async ({ start, proxy }) => {
      proxy.staySilent();
      const client = start();
      await eventually('accepted', () => proxy.accepted === 1, { withinMs: 5_000 });
      proxy.forward();
      return (await within(2_500, () => client.isConnected())) ? 'connects' : 'waits';
    },
    { bare: 'waits', hardened: 'connects' },
  );

  hazard(
    '3: a client that only receives sends no pings, and loses its session',
    async ({ startConnected, path }) => {
      const sessionTimeoutMs = 3_000;
      const client = await startConnected({ sessionTimeoutMs });
      await client.createEphemeral(`${path}/ephemeral`);
      const watched = Array.from({ length: 32 }, (_, index) => `${path}/watched-${index}`);
      await Promise.all(watched.map((each) => client.watchExistence(each, () => {})));
      // An event every twentieth of the timeout, for one and a half of them and more.
      for (const each of watched) {
        await observer().create(each, EMPTY, 'PERSISTENT');
        await sleep(systemClock, sessionTimeoutMs / 20);
      }
      return (await observer().exists(`${path}/ephemeral`)) === null
        ? 'lost its session'
        : 'kept its session';
    },
    { bare: 'lost its session', hardened: 'kept its session' },
  );

  hazard(
    '4: half a frame outlives the connection it came on, and garbles the next',
    async ({ startConnected, proxy, path }) => {
      await observer().setData(path, Buffer.alloc(10_000), -1);
      const client = await startConnected();
      proxy.cutAfter(5_000);
      return await recovers(client, path);
    },
    { bare: 'never reads again', hardened: 'reads again' },
  );

  hazard(
    '5: an operation without a connection waits without limit, and is forgotten when the session expires',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected();
      await client.createEphemeral(`${path}/ephemeral`);
      proxy.refuse();
      proxy.cut();
      await eventually('disconnected', () => !client.isConnected(), { withinMs: 5_000 });
      let settled = false;
      const settle = () => {
        settled = true;
      };
      void client.read(path).then(settle, settle);
      const atOnce = await within(100, () => settled);
      await gone(`${path}/ephemeral`);
      proxy.forward();
      await eventually('told', () => client.knowsSessionIsOver(), { withinMs: 5_000 });
      const afterExpiry = await within(100, () => settled);
      return { atOnce, afterExpiry };
    },
    { bare: { atOnce: false, afterExpiry: false }, hardened: { atOnce: true, afterExpiry: true } },
  );

  hazard(
    '6: a multi that asks for version 0 takes any version',
    async ({ startConnected, path }) => {
      await observer().setData(path, Buffer.from('theirs'), 0);
      const client = await startConnected();
      const outcome = await client.checkAndSet(path, 0, Buffer.from('ours')).then(
        () => 'accepted',
        () => 'refused',
      );
      return { outcome, data: (await observer().getData(path)).data.toString() };
    },
    { bare: { outcome: 'accepted', data: 'ours' }, hardened: { outcome: 'refused', data: 'theirs' } },
  );

  hazard(
    '7: an expiry is not noticed during an outage, and the client is of no use after it',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected();
      await client.createEphemeral(`${path}/ephemeral`);
      proxy.refuse();
      proxy.cut();
      await gone(`${path}/ephemeral`);
      const known = await within(500, () => client.knowsSessionIsOver());
      proxy.forward();
      return { known, afterwards: await recovers(client, path) };
    },
    {
      bare: { known: false, afterwards: 'never reads again' },
      hardened: { known: true, afterwards: 'reads again' },
    },
  );

  hazard(
    '8: a server that has lost its data refuses the client for ever, without a word',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected();
      await client.read(path);
      const empty = await startTestZooKeeper({ tickTimeMs: 200 });
      try {
        proxy.retarget(empty.connectString);
        proxy.cut();
        await eventually('disconnected', () => !client.isConnected(), { withinMs: 5_000 });
        return (await within(4_000, () => client.isConnected())) ? 'begins anew' : 'refused';
      } finally {
        await empty.stop();
      }
    },
    { bare: 'refused', hardened: 'begins anew' },
  );

  hazard(
    '9: a first connect that fails is not reported',
    async ({ start, proxy }) => {
      proxy.refuse();
      const client = start();
      return (await within(4_000, () => client.reports() > 0)) ? 'reported' : 'silence';
    },
    { bare: 'silence', hardened: 'reported' },
  );

  hazard(
    'watches beyond the largest packet make it reconnect over and over',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected({ sessionTimeoutMs: 4_000 });
      const padding = 'x'.repeat(1_500);
      const watched = Array.from({ length: 800 }, (_, index) => `${path}/${padding}-${index}`);
      await Promise.all(watched.map((each) => client.watchExistence(each, () => {})));
      proxy.cut();
      return (await within(2_500, () => proxy.accepted > 5)) ? 'over and over' : 'once';
    },
    { bare: 'over and over', hardened: 'once' },
  );

  hazard(
    'a watch fires before the read that set it goes on',
    async ({ startConnected, proxy, path }) => {
      const client = await startConnected({ sessionTimeoutMs: 2_000 });
      const order: string[] = [];
      proxy.blackHole('TO_CLIENT');
      const reading = client.read(path, () => order.push('event')).then(() => order.push('read'));
      await eventually('the answer held', () => proxy.heldToClient === 1, { withinMs: 5_000, everyMs: 5 });
      await observer().setData(path, EMPTY, -1);
      await eventually('the event held', () => proxy.heldToClient === 2, { withinMs: 5_000, everyMs: 5 });
      proxy.forward();
      await reading;
      await eventually('both', () => order.length === 2, { withinMs: 5_000 });
      return order;
    },
    { bare: ['event', 'read'], hardened: ['read', 'event'] },
  );
});

/** Reads until a read succeeds, for two seconds and a half; one that is never answered is not waited for. */
async function recovers(client: ClientUnderTest, path: string): Promise<'reads again' | 'never reads again'> {
  let answered = false;
  const read = () => {
    void client.read(path).then(
      () => (answered = true),
      () => systemClock.schedule(20, () => over || read()),
    );
  };
  let over = false;
  read();
  over = !(await within(2_500, () => answered));
  return over ? 'never reads again' : 'reads again';
}
