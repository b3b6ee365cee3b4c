import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import { ClusterUnderTest } from '../e2e/cluster-under-test.ts';
import type { HandlerStart } from '../e2e/cluster-under-test.ts';
import { ClaimWitness } from './claim-witness.ts';

const TASKS = 200;
const HANDLER_MS = 40;
/** Its worker logs its start, it logs its end. */
const HANDLER = `
  import { defineHandler } from 'partitioned-task-scheduler/handlers';
  export default defineHandler({ name: 'of-a-line', async run(_, { sleep, log }) {
    try { await sleep(${HANDLER_MS}); } finally { log.info('Ended'); }
  } });`;
const attemptOf = ({ taskId, attempt }: { taskId: number; attempt: number }) => `${taskId}/${attempt}`;

describe('the serial tasks of a few keys', () => {
  let directory: string;
  let cluster: ClusterUnderTest | undefined;
  let witness: ClaimWitness | undefined;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'handlers-'));
    await writeFile(join(directory, 'of-a-line.ts'), HANDLER);
  });
  afterEach(async () => {
    await witness?.close();
    await cluster?.stop();
    await rm(directory, { recursive: true });
  });

  it('run one at a time and in order, through a rebalance, a stop and a death of their workers', async () => {
    const here = (cluster = await ClusterUnderTest.start({ workers: 3, env: { HANDLERS_DIR: directory } }));
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
          const task = { name: 'of-a-line', key, serial: true };
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
    const endedAtMs = endsOf(here);
    for (const [key, line] of lines) {
      const starts = startsIn(key);
      const order = starts.map(({ taskId }) => taskId).filter((id, i, all) => id !== all[i - 1]);
      expect(order, key).toEqual(line);
      for (const [i, start] of starts.entries()) {
        const before = starts[i - 1];
        if (before === undefined) continue;
        const beforeEndedAtMs = endedAtMs.get(attemptOf(before));
        if (beforeEndedAtMs !== undefined) expect(start.timeMs, key).toBeGreaterThanOrEqual(beforeEndedAtMs);
        // What a worker had in hand as it died, or had not yet said the end of: no other's has none.
        else expect(before.worker, key).toBe(killed);
      }
    }
    const workersOf = (key: string) => new Set(startsIn(key).map(({ worker }) => worker)).size;
    expect(workersOf(first)).toBeGreaterThan(1);
    expect(workersOf(second)).toBeGreaterThan(1);
    // What the killed worker had in hand, of whichever lines.
    expect(here.starts.some(({ attempt }) => attempt > 1)).toBe(true);
    here.expectNoDoubleStarts();
    expect(await witness.violations()).toEqual([]);
  });
});

/** When each attempt's handler ended. */
function endsOf({ apps }: ClusterUnderTest): Map<string, number> {
  const lines = [...apps.values()].flatMap((app) => app.lines).filter(({ msg }) => msg === 'Ended');
  return new Map(
    lines.map(({ fields, timeMs }) => [attemptOf(fields as { taskId: number; attempt: number }), timeMs]),
  );
}
