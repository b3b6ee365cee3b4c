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
/** Its worker logs its start, it logs its fencing token and its end. */
const HANDLER = `
  import { defineHandler } from 'partitioned-task-scheduler/handlers';
  export default defineHandler({ name: 'of-a-line', async run(_, { sleep, log, fencingToken }) {
    log.info({ claim: fencingToken.claim }, 'Begun');
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

  it('run one at a time and in order, through a rebalance, and while workers stop, die and freeze', async () => {
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
    const owners = await Promise.all(keys.map(ownerOf));
    const third = keys.find((_, i) => owners[i] !== killed) ?? '';
    const frozen = await ownerOf(third);
    await inTheMiddleOf(second);
    await here.app(killed).kill();
    await inTheMiddleOf(third);
    here.app(frozen).signal('SIGSTOP');
    const frozenAtMs = Date.now();
    /** What it had in hand. */
    const overtakenIn = (key: string) =>
      startsIn(key).findLast(({ worker, timeMs }) => worker === frozen && timeMs <= frozenAtMs);
    here.startWorker('worker-4');
    here.startWorker('worker-5');
    await submitting;
    await eventually(`${third} goes on elsewhere`, () => startsIn(third).at(-1)?.worker !== frozen, {
      withinMs: 30_000,
    });
    here.app(frozen).signal('SIGCONT');

    for (const line of lines.values())
      expect(await here.ended(line.at(-1) ?? 0, 60_000)).toMatchObject({ status: 'COMPLETED' });
    const [claims, endedAtMs] = [claimsOf(here), endsOf(here)];
    for (const [key, line] of lines) {
      const starts = startsIn(key);
      for (const [i, start] of starts.entries()) {
        const [before, after] = [starts[i - 1], start].map((one) => one && claims.get(attemptOf(one)));
        // Whoever is written to can tell which of two came later, whatever their handlers do at the same time.
        if (before !== undefined && after !== undefined) expect(after, key).toBeGreaterThan(before);
      }
      const order = starts.map(({ taskId }) => taskId).filter((id, i, all) => id !== all[i - 1]);
      expect(order, key).toEqual(line);
      for (const [i, start] of starts.entries()) {
        const before = starts[i - 1];
        if (before === undefined) continue;
        const beforeEndedAtMs = endedAtMs.get(attemptOf(before));
        if (before === overtakenIn(key)) continue;
        if (beforeEndedAtMs !== undefined) expect(start.timeMs, key).toBeGreaterThanOrEqual(beforeEndedAtMs);
        // What a worker had in hand as it died, or had not yet said the end of: no other's has none.
        else expect(before.worker, key).toBe(killed);
      }
    }
    const workersOf = (key: string) => new Set(startsIn(key).map(({ worker }) => worker)).size;
    expect(workersOf(first)).toBeGreaterThan(1);
    expect(workersOf(second)).toBeGreaterThan(1);
    // The frozen one's handlers went on beside their successors: what they wrote then bore the lower token.
    const wentOn = keys.filter((key) => {
      const overtaken = overtakenIn(key);
      const endedMs = (overtaken && endedAtMs.get(attemptOf(overtaken))) ?? -Infinity;
      return startsIn(key).some(
        ({ worker, timeMs }) => worker !== frozen && timeMs > frozenAtMs && timeMs < endedMs,
      );
    });
    expect(wentOn.length).toBeGreaterThan(0);
    // What the killed worker had in hand, of whichever lines.
    expect(here.starts.some(({ attempt }) => attempt > 1)).toBe(true);
    here.expectNoDoubleStarts();
    expect(await witness.violations()).toEqual([]);
  });
});

/** What handlers have said of each attempt. */
const said = ({ apps }: ClusterUnderTest, what: string) =>
  [...apps.values()].flatMap((app) => app.lines).filter(({ msg }) => msg === what);
const attemptIn = (fields: object) => attemptOf(fields as { taskId: number; attempt: number });
const endsOf = (cluster: ClusterUnderTest) =>
  new Map(said(cluster, 'Ended').map(({ fields, timeMs }) => [attemptIn(fields), timeMs]));
const claimsOf = (cluster: ClusterUnderTest) =>
  new Map(said(cluster, 'Begun').map(({ fields }) => [attemptIn(fields), Number(fields['claim'])]));
