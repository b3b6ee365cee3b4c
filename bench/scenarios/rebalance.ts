import { takesPart } from '../contestants.ts';
import { ProjectContestant } from '../contestants/project.ts';
import { pause } from '../processes.ts';
import { zxid } from '../servers/zookeeper.ts';
import { wallMs } from '../wall-clock.ts';
import { checkStarts, untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';

const PER_SECOND = 500;
const LEAD_MS = 4_000;
/** Each part of the stream: before, with one worker more, with it leaving. */
const PART_MS = 6_000;
const SETTLE_DEADLINE_MS = 60_000;

const PARTS = ['before', 'one joins', 'one leaves'] as const;
const worst = (part: string) => `worst ms, ${part}`;
const ADDED = 'added ms';
const WRITES_JOIN = 'ZooKeeper writes, one joins';
const WRITES_LEAVE = 'ZooKeeper writes, one leaves';

export const rebalanceScenario: Scenario = {
  name: 'rebalance',
  onRequest: true,
  title: 'Lateness while a worker joins and while one leaves gracefully',
  method: () =>
    `${PER_SECOND} tasks a second are due evenly. Two workers run; after ${PART_MS / 1_000} s a third one is started, as ` +
    `long after that it is stopped with SIGTERM. Shown is the worst lateness among the tasks due in each part, and ` +
    'how much worse it is in the last two than in the first. Writes are ZooKeeper’s transactions, sessions and ' +
    'ephemerals included.',
  measures: [...PARTS.map(worst), ADDED, WRITES_JOIN, WRITES_LEAVE].map((name) => ({ name, digits: 0 })),
  plan(bench) {
    if (!takesPart(bench, 'project')) return { subjects: [], comparisons: [] };
    const project = new ProjectContestant(bench, {
      name: 'project',
      createDatabase: () => bench.postgres.create('project'),
    });
    return {
      subjects: [{ name: project.name, setup: project.setup, measure: () => measure(project) }],
      comparisons: [],
    };
  },
};

async function measure(project: ProjectContestant): Promise<Measured> {
  try {
    await project.start();
    await project.work();
    await project.work();
    await project.ready();
    const fromMs = Math.ceil(wallMs()) + LEAD_MS;
    const count = (PARTS.length * PART_MS * PER_SECOND) / 1_000;
    await project.load({ count, due: { fromMs, perSecond: PER_SECOND } });
    await pause(fromMs + PART_MS - wallMs());
    const zxids = [await zxid(project.zookeeper)];
    await project.work();
    await pause(fromMs + 2 * PART_MS - wallMs());
    zxids.push(await zxid(project.zookeeper));
    await project.stopWorker(2);
    await untilSettled(project, SETTLE_DEADLINE_MS);
    zxids.push(await zxid(project.zookeeper));
    const starts = await project.starts();
    checkStarts(project, starts, count);
    const worstMs = PARTS.map(() => 0);
    for (const [sample, atMs] of starts) {
      const dueAfterMs = (sample * 1_000) / PER_SECOND;
      const part = Math.floor(dueAfterMs / PART_MS);
      worstMs[part] = Math.max(worstMs[part] ?? 0, atMs - fromMs - dueAfterMs);
    }
    const [before = NaN, ...moving] = worstMs;
    const [zxidBefore = NaN, zxidJoined = NaN, zxidLeft = NaN] = zxids;
    return {
      ...Object.fromEntries(PARTS.map((part, index) => [worst(part), worstMs[index] ?? NaN])),
      [ADDED]: Math.max(...moving) - before,
      [WRITES_JOIN]: zxidJoined - zxidBefore,
      [WRITES_LEAVE]: zxidLeft - zxidJoined,
    };
  } finally {
    await project.stop();
  }
}
