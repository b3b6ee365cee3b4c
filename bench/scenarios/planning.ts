import { OLDEST } from '../../apps/controller/ages.ts';
import type { Planned } from '../../apps/controller/decision.ts';
import { decide } from '../../apps/controller/decision.ts';
import { transition } from '../../libs/core/transition.ts';
import { quantile } from '../statistics.ts';
import type { Measured, Scenario } from './scenario.ts';

type Grants = Parameters<typeof transition>[0]['grants'];

const SIZES = [
  [10, 64],
  [50, 1_024],
  [200, 4_096],
  [1_000, 16_384],
] as const;
const RUNS = 11;

const TIME = 'ms';
const MOVES = 'moves';

export const planningScenario: Scenario = {
  name: 'planning',
  onRequest: true,
  contestants: ['project'],
  title: 'Planning, when one worker joins',
  method: () =>
    `The controller’s decision and its first step, without ZooKeeper, in one process; the median of ${RUNS} runs.`,
  measures: [
    { name: TIME, digits: 2 },
    { name: MOVES, digits: 0 },
  ],
  plan() {
    const subjects = SIZES.map(([workers, partitions]) => ({
      name: `${workers.toLocaleString('en')} workers, ${partitions.toLocaleString('en')} partitions`,
      setup: 'equal weights, no zones',
      measure: () => Promise.resolve(measure(workers, partitions)),
    }));
    return { subjects, comparisons: [] };
  },
};

function measure(workers: number, partitions: number): Measured {
  const cluster = oneMore(workers, partitions);
  const { plan, live } = cluster;
  const grants = grantsOf(cluster);
  const times: number[] = [];
  let moves = 0;
  for (let run = 0; run < RUNS; run++) {
    const startMs = performance.now();
    const { target } = decide(cluster, { mode: 'AUTO' }, new Map()).wanted;
    transition({ plan, live, grants, acks: new Map(), target, overdue: () => false });
    times.push(performance.now() - startMs);
    moves = target.filter((worker, partition) => worker !== plan.target[partition]).length;
  }
  return { [TIME]: quantile(times, 0.5), [MOVES]: moves };
}

/** What stands in the znodes of the workers. */
function grantsOf({ plan, live }: Planned): Grants {
  const parts = new Map([...live.keys()].map((id): [string, Record<string, number>] => [id, {}]));
  plan.target.forEach((worker, partition) => {
    const own = parts.get(worker ?? '');
    if (own !== undefined) own[partition] = plan.epoch[partition] ?? 0;
  });
  return new Map([...parts].map(([id, own]) => [id, { incarnation: 'i1', rev: 1, parts: own, revoked: {} }]));
}

/** `workers`, of which the last holds nothing yet. */
function oneMore(workers: number, partitions: number): Planned {
  const ids = Array.from({ length: workers }, (_, index) => `worker-${index}`);
  const self = { host: 'h', pid: 1, version: '', zone: '', weight: 1 };
  return {
    live: new Map(ids.map((id) => [id, 'i1'])),
    selves: new Map(ids.map((id) => [id, self])),
    wishes: new Map(),
    plan: {
      rev: 1,
      target: Array.from({ length: partitions }, (_, partition) => ids[partition % (workers - 1)] ?? null),
      epoch: Array<number>(partitions).fill(1),
    },
    ages: Array<number>(partitions).fill(OLDEST),
  };
}
