import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import type { HandlerStart } from '../e2e/cluster-under-test.ts';
import { ClaimWitness } from './claim-witness.ts';

const TASKS = 200;
const HANDLER_MS = 40;
/** A timer and the time of a log line are in whole milliseconds. */
const ROUNDING_MS = 2;

describe('the serial tasks of a few keys', () => {
  let cluster: ClusterUnderTest | undefined;
  let witness: ClaimWitness | undefined;
  afterEach(async () => {
    await witness?.close();
    await cluster?.stop();
  });

  it('run one at a time and in order, through a rebalance, a stop and a death of their workers', async () => {
    const here = (cluster = await ClusterUnderTest.start({ workers: 3 }));
    witness = await ClaimWitness.install(here.databaseUrl);
    const keys = Array.from({ length: 8 }, (_, i) => `account-${i}`);
    const partitions = new Map<string, number>();
    /** In the order of their submission, which is that of their times and ids. */
    const lines = new Map<string, number[]>();
    const submitting = Promise.all(
      keys.map(async (key) => {
        const line: number[] = [];
        lines.set(key, line);
        for (let i = 0; i < TASKS; i++) {
          const task = { name: 'demo', key, serial: true, payload: { sleepMs: HANDLER_MS } };
          const { id, partitionId } = await here.submit(task);
          line.push(id);
          partitions.set(key, partitionId);
        }
      }),
    );
    const startsIn = (key: string): HandlerStart[] => {
      const ids = new Set(lines.get(key));
      return here.starts.filter(({ taskId }) => ids.has(taskId)).sort((x, y) => x.timeMs - y.timeMs);
    };
    const ownerOf = async (key: string) => (await here.owners()).get(partitions.get(key) ?? -1) ?? '';
    /** Once the next of `key` has just been started, which then is about to run. */
    const inTheMiddleOf = async (key: string) => {
      const before = startsIn(key).length;
      await eventually(`${key} goes on`, () => startsIn(key).length > before, {
        withinMs: 10_000,
        everyMs: 1,
      });
    };

    const [first = '', second = ''] = keys;
    await inTheMiddleOf(first);
    await inTheMiddleOf(second);
    const stopped = await ownerOf(first);
    here.app(stopped).signal('SIGTERM');
    expect(await here.app(stopped).exit()).toBe(0);
    await here.balanced(2);
    await inTheMiddleOf(first);
    const killed = await ownerOf(second);
    await inTheMiddleOf(second);
    await here.app(killed).kill();
    here.startWorker('worker-4');
    here.startWorker('worker-5');
    await submitting;

    for (const line of lines.values())
      expect(await here.ended(line.at(-1) ?? 0, 60_000)).toMatchObject({ status: 'COMPLETED' });
    for (const [key, line] of lines) {
      const starts = startsIn(key);
      const order = starts.map(({ taskId }) => taskId).filter((id, i, all) => id !== all[i - 1]);
      expect(order, key).toEqual(line);
      for (const [i, start] of starts.entries()) {
        const before = starts[i - 1];
        if (before === undefined || before.taskId === start.taskId) continue;
        expect(start.timeMs - before.timeMs, key).toBeGreaterThanOrEqual(HANDLER_MS - ROUNDING_MS);
      }
    }
    const workersOf = (key: string) => new Set(startsIn(key).map(({ worker }) => worker)).size;
    expect(workersOf(first)).toBeGreaterThan(1);
    expect(workersOf(second)).toBeGreaterThan(1);
    expect(startsIn(second).some(({ attempt }) => attempt > 1)).toBe(true);
    here.expectNoDoubleStarts();
    expect(await witness.violations()).toEqual([]);
  });
});
