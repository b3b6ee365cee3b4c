import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import { deferred } from '../testing/deferred.ts';
import { eventually } from '../testing/eventually.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { CHECK_CHANNEL, TaskDueListener } from './task-due-listener.ts';

const WITHIN = { withinMs: 10_000 };

describe('task-due listener', () => {
  let database: DatabaseUnderTest;
  const listeners: TaskDueListener[] = [];
  beforeAll(async () => {
    database = await DatabaseUnderTest.start({ partitions: 64 });
  });
  afterEach(async () => {
    for (const listener of listeners.splice(0)) await listener.close();
  });
  afterAll(() => database.close());

  function listen(url = database.url) {
    const due: (readonly number[] | '*')[] = [];
    const since: number[] = [];
    const states: boolean[] = [];
    const listener = new TaskDueListener({
      url,
      applicationName: 'listener',
      onDue: (partitions, sinceMs) => {
        due.push(partitions);
        since.push(sinceMs);
      },
      check: () => database.pool.query(`NOTIFY ${CHECK_CHANNEL}`),
      onListening: (listening) => states.push(listening),
      clock: systemClock,
      random: systemRandom,
    });
    listeners.push(listener);
    return { listener, due, since, states };
  }

  const killConnections = () =>
    database.pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener'`,
    );

  it('asks for a look at all once it listens, then names the partitions of what is submitted, and since when', async () => {
    const { due, since } = listen();
    await eventually('it listens', () => due.length === 1, WITHIN);
    const task = await database.submitOne({ scheduledAtMs: Date.now() + 2_000 });
    await eventually('it hears', () => due.length === 2, WITHIN);
    expect(due).toEqual(['*', [task.partitionId]]);
    expect(since).toEqual([-Infinity, task.scheduledAtMs]);
  });

  it('of a notification of all, says since when; of one it does not understand, that anything may be due', async () => {
    const { due, since } = listen();
    await eventually('it listens', () => due.length === 1, WITHIN);
    for (const payload of ['1500:*', '1500:3,7', '', '3,7', 'x:*']) {
      await database.pool.query('SELECT pg_notify($1, $2)', ['task_due', payload]);
    }
    await eventually('it hears', () => due.length === 6, WITHIN);
    expect(due.slice(1)).toEqual(['*', [3, 7], '*', '*', '*']);
    expect(since.slice(1)).toEqual([1_500, 1_500, -Infinity, -Infinity, -Infinity]);
  });

  it('connects again when its connection is lost, and asks for a look at all', async () => {
    const { due, states } = listen();
    await eventually('it hears', () => states.length === 1, WITHIN);
    await killConnections();
    await eventually('it hears again', () => states.length === 3, WITHIN);
    expect(due).toEqual(['*', '*']);
    expect(states).toEqual([true, false, true]);
    await database.submit(['now']);
    await eventually('it hears', () => due.length === 3, WITHIN);
  });

  it('keeps trying where nobody answers as Postgres, and ends when closed', async () => {
    let attempts = 0;
    const closed = deferred<unknown>();
    const refusing = createServer((socket) => {
      attempts += 1;
      // At the worst moment: it is closed just before it is refused once more.
      if (attempts === 3) closed.resolve(listener.close());
      socket.destroy();
    });
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const { port } = refusing.address() as AddressInfo;
    const { listener, due, states } = listen(`postgres://nobody@127.0.0.1:${port}/none`);
    await closed.promise;
    await listener.close();
    expect([due, states]).toEqual([[], []]);
    refusing.close();
  });

  it(
    'ends at once when closed while it waits for an answer to its connection',
    { timeout: 4_000 },
    async () => {
      const proxy = await startTcpProxy(new URL(database.url).host);
      proxy.staySilent();
      const { listener, states } = listen(`postgres://nobody@${proxy.connectString}/none`);
      await eventually('it has connected', () => proxy.accepted === 1, WITHIN);
      await listener.close();
      expect(states).toEqual([]);
      await proxy.close();
    },
  );

  it('ends at once when closed while its connection is silent', { timeout: 4_000 }, async () => {
    const proxy = await startTcpProxy(new URL(database.url).host);
    const through = new URL(database.url);
    through.host = proxy.connectString;
    const { listener, due } = listen(through.href);
    await eventually('it listens', () => due.length === 1, WITHIN);
    proxy.blackHole();
    await listener.close();
    expect(due).toEqual(['*']);
    await proxy.close();
  });

  it('calls nobody after it was closed', async () => {
    const { listener, due } = listen();
    await eventually('it listens', () => due.length === 1, WITHIN);
    await listener.close();
    await database.submit(['now']);
    expect(due).toEqual(['*']);
    await eventually(
      'its connection is gone',
      async () =>
        (await database.pool.query(`SELECT FROM pg_stat_activity WHERE application_name = 'listener'`))
          .rowCount === 0,
      WITHIN,
    );
  });
});
