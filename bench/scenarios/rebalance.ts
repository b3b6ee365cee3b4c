import { ProjectContestant } from '../contestants/project.ts';
import { pause } from '../processes.ts';
import type { ZooKeeperCounts } from '../servers/zookeeper.ts';
import { zookeeperCounts } from '../servers/zookeeper.ts';
import { wallMs } from '../wall-clock.ts';
import { PROJECT_STARTS, checkStarts, untilSettled } from './draining.ts';
import type { Measured, Scenario } from './scenario.ts';

const PER_SECOND = 500;
const LEAD_MS = 4_000;
/** Each part of the stream: before, with one worker more, with it leaving, after. */
const PART_MS = 6_000;
const SETTLE_DEADLINE_MS = 60_000;

const PARTS = ['before', 'one joins', 'one leaves', 'after'] as const;
const worst = (part: string) => `worst ms, ${part}`;
const ADDED = 'added ms';
const requests = (part: string) => `ZooKeeper requests, ${part}`;
const writes = (part: string) => `ZooKeeper writes, ${part}`;
const MEASURES = [
  ...PARTS.map(worst),
  ADDED,
  ...['before', 'one joins', 'one leaves'].map(requests),
  ...['one joins', 'one leaves'].map(writes),
];

export const rebalanceScenario: Scenario = {
  name: 'rebalance',
  onRequest: true,
  contestants: ['project'],
  title: 'Lateness while a worker joins and while one leaves gracefully',
  method: () =>
    `${PER_SECOND} tasks a second are due evenly. Two workers run; after ${PART_MS / 1_000} s a third one is started, as ` +
    `long after that it is stopped with SIGTERM, and as much again is after. Shown is the worst lateness among the ` +
    'tasks due in each part, and how much worse the worse of the two in the middle is than the worse of the others. ' +
    `${PROJECT_STARTS} Requests are all packets that ZooKeeper receives; those before, from a cluster at rest, are the ` +
    'pings of its sessions, which go on. Writes are its transactions, sessions and ephemerals included.',
  measures: MEASURES.map((name) => ({ name, digits: 0 })),
  plan(bench) {
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
    const counts: ZooKeeperCounts[] = [];
    const atStartOf = async (part: number) => {
      await pause(fromMs + part * PART_MS - wallMs());
      counts.push(await zookeeperCounts(project.zookeeper));
    };
    await atStartOf(0);
    await atStartOf(1);
    await project.work();
    await atStartOf(2);
    await project.stopWorker(2);
    await atStartOf(3);
    await untilSettled(project, SETTLE_DEADLINE_MS);
    const starts = await project.starts();
    checkStarts(project, starts, count);
    const worstMs = PARTS.map(() => 0);
    for (const [sample, atMs] of starts) {
      const dueAfterMs = (sample * 1_000) / PER_SECOND;
      const part = Math.floor(dueAfterMs / PART_MS);
      worstMs[part] = Math.max(worstMs[part] ?? 0, atMs - fromMs - dueAfterMs);
    }
    const [before = NaN, joins = NaN, leaves = NaN, after = NaN] = worstMs;
    const measured: Record<string, number> = {
      [ADDED]: Math.max(joins, leaves) - Math.max(before, after),
    };
    for (const [index, part] of PARTS.entries()) {
      measured[worst(part)] = worstMs[index] ?? NaN;
      const [from, to] = [counts[index], counts[index + 1]];
      if (from === undefined || to === undefined) continue;
      // The question at its end is one of them.
      measured[requests(part)] = to.received - from.received - 1;
      measured[writes(part)] = to.written - from.written;
    }
    return measured;
  } finally {
    await project.stop();
  }
}
