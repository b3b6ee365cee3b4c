import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../runtime/system.ts';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';
import { eventually } from '../testing/eventually.ts';
import { TaskDueListener } from './task-due-listener.ts';

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
    const states: boolean[] = [];
    const listener = new TaskDueListener({
      url,
      applicationName: 'listener',
      onDue: (partitions) => due.push(partitions),
      onListening: (listening) => states.push(listening),
      clock: systemClock,
      random: systemRandom,
    });
    listeners.push(listener);
    return { listener, due, states };
  }

  const killConnections = () =>
    database.pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener'`,
    );

  it('asks for a look at all once it listens, then names the partitions of what is submitted', async () => {
    const { due } = listen();
    await eventually('it listens', () => due.length === 1, WITHIN);
    const [task] = await database.submit(['now']);
    await eventually('it hears', () => due.length === 2, WITHIN);
    expect(due).toEqual(['*', [task?.partitionId]]);
  });

  it('connects again when its connection is lost, and asks for a look at all', async () => {
    const { due, states } = listen();
    await eventually('it listens', () => due.length === 1, WITHIN);
    await killConnections();
    await eventually('it listens again', () => due.length === 2, WITHIN);
    expect(due).toEqual(['*', '*']);
    expect(states).toEqual([true, false, true]);
    await database.submit(['now']);
    await eventually('it hears', () => due.length === 3, WITHIN);
  });

  it('keeps trying where nobody answers as Postgres, and ends when closed', async () => {
    let attempts = 0;
    const refusing = createServer((socket) => {
      attempts += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const { port } = refusing.address() as AddressInfo;
    const { listener, due, states } = listen(`postgres://nobody@127.0.0.1:${port}/none`);
    await eventually('it has tried three times', () => attempts >= 3, WITHIN);
    await listener.close();
    await listener.close();
    expect([due, states]).toEqual([[], []]);
    refusing.close();
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
