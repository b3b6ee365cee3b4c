import { seededRandom } from '../libs/testing/seeded-random.ts';
import type { Step } from './actions.ts';
import { drawSchedule } from './actions.ts';
import { Cluster, PATHS } from './cluster/cluster.ts';
import { Liveness, nothingYet } from './liveness.ts';
import type { LongestMs } from './liveness.ts';
import type { Violation } from './outcomes.ts';
import { Transcript } from './transcript.ts';
import { World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly steps: number;
  /** In place of the schedule drawn from the seed. */
  readonly schedule?: readonly Step[];
  readonly transcript?: boolean;
}

export interface RunResult {
  readonly violation: Violation | undefined;
  /** Steps taken when the violation showed, or all of them. */
  readonly steps: number;
  readonly schedule: readonly Step[];
  readonly transcript: readonly string[];
  readonly virtualMs: number;
  readonly tasks: number;
  readonly handlersStarted: number;
  /** How long what was missing after the faults was missing, at most. */
  readonly longestMs: LongestMs;
  /** What happened that is worth having happened, and how often. */
  readonly counts: ReadonlyMap<string, number>;
}

/** Once faults have stopped: by then every due task has its end, retries and what handlers take included. Milliseconds. */
const ALL_DONE_MS = 90_000;
/** Tasks due later than that after faults have stopped are not waited for. */
const HORIZON_MS = 20_000;
/** So long everything must stay as it is, the plan included. */
const CALM_MS = 2_000;
const SLICE_MS = 250;
const START_MS = 1_000;

class Broken extends Error {
  override name = 'Broken';
}

/** One life of a cluster: it starts, the schedule happens to it, faults stop, and it settles. */
export async function runSeed({
  seed,
  steps,
  schedule: given,
  transcript: kept = false,
}: RunOptions): Promise<RunResult> {
  const schedule = given ?? drawSchedule(seededRandom(seed), steps);
  const world = new World(seed);
  const transcript = new Transcript({ nowMs: () => world.nowMs, kept });
  const cluster = new Cluster(world, transcript);
  const { safety } = cluster;
  const check = () => {
    if (safety.violation !== undefined) throw new Broken();
  };
  let taken = 0;
  let longestMs = nothingYet();
  const crashed = (error: unknown) =>
    safety.broken('no fault of ours', error instanceof Error ? (error.stack ?? '') : String(error));
  process.on('unhandledRejection', crashed);
  try {
    cluster.start();
    await world.run(START_MS, check);
    for (const { action, thenMs } of schedule) {
      taken += 1;
      if (action !== undefined) cluster.do(action);
      await world.run(thenMs, check);
    }
    transcript.add('*', () => 'faults stop');
    cluster.heal();
    cluster.takeWishesBack();
    longestMs = await settle(world, cluster, check);
  } catch (error) {
    if (!(error instanceof Broken)) crashed(error);
    transcript.add(
      '*',
      () => `BROKEN ${safety.violation?.promise ?? ''}: ${safety.violation?.message ?? ''}`,
    );
  }
  process.off('unhandledRejection', crashed);
  return {
    violation: safety.violation,
    steps: taken,
    schedule,
    transcript: transcript.lines,
    virtualMs: world.nowMs,
    tasks: cluster.postgres.database.tasks.size,
    handlersStarted: safety.handlersStarted,
    longestMs,
    counts: world.counts,
  };
}

/** Waits until everything has come about that must, and has stayed so for a while. */
async function settle(world: World, cluster: Cluster, check: () => void): Promise<LongestMs> {
  const untilMs = world.nowMs + ALL_DONE_MS;
  while (!cluster.serversUp) await world.run(SLICE_MS, check);
  const liveness = new Liveness(cluster, { nowMs: () => world.nowMs, horizonMs: HORIZON_MS });
  let [plan, calmSinceMs] = ['', world.nowMs];
  for (;;) {
    await world.run(SLICE_MS, check);
    const missing = liveness.look();
    const planBefore = plan;
    plan = cluster.ensemble.znodes.get(PATHS.plan)?.toString() ?? '';
    if (missing !== undefined || plan !== planBefore) calmSinceMs = world.nowMs;
    if (world.nowMs - calmSinceMs >= CALM_MS) return liveness.longestMs;
    if (world.nowMs > untilMs)
      cluster.safety.broken(
        'liveness',
        `${ALL_DONE_MS} ms after faults have stopped, ${missing ?? 'the plan still changes'}`,
      );
    check();
    // Whatever stopped by itself, as by a worker id in use, is started again by whoever runs the cluster.
    cluster.heal();
  }
}
