import { pino } from 'pino';
import { systemRandom } from '../../../libs/runtime/system.ts';
import { modeCodec, workerWishCodec } from '../../../libs/cluster/records.ts';
import type { Mode, WorkerWish } from '../../../libs/cluster/records.ts';
import { eventually } from '../../../libs/testing/eventually.ts';
import { ManualClock } from '../../../libs/testing/manual-clock.ts';
import { Pipeline } from '../pipeline.ts';
import type { RunResult } from '../pipeline.ts';
import type { ClusterUnderTest } from './cluster-under-test.ts';
import { isSettled, loads } from './cluster-under-test.ts';

/** A leader's pipeline on a clock of the test's own, beside scripted workers. */
export class PipelineUnderTest {
  readonly clock: ManualClock;
  /** Warnings it has logged, messages only. */
  readonly warnings: string[] = [];
  readonly #cluster: ClusterUnderTest;
  readonly #pipeline: Pipeline;

  private constructor(
    cluster: ClusterUnderTest,
    clock: ManualClock,
    pipeline: (own: PipelineUnderTest) => Pipeline,
  ) {
    this.#cluster = cluster;
    this.clock = clock;
    this.#pipeline = pipeline(this);
  }

  static async start(cluster: ClusterUnderTest, clock = new ManualClock()): Promise<PipelineUnderTest> {
    const zk = await cluster.observer();
    return new PipelineUnderTest(cluster, clock, ({ warnings }) => {
      const write = (line: string) => warnings.push((JSON.parse(line) as { msg: string }).msg);
      return new Pipeline({
        zk,
        paths: cluster.paths,
        clock,
        random: systemRandom,
        logger: pino({ level: 'warn' }, { write }),
        leadership: { term: 0, valid: () => true, lost: new AbortController().signal },
        watcher: () => undefined,
      });
    });
  }

  run(): Promise<RunResult> {
    return this.#pipeline.run();
  }

  /** Runs until nothing more is to be done at this moment; workers follow their grants meanwhile. */
  async settle(): Promise<void> {
    await eventually(
      'the pipeline settles',
      async () => {
        const { outcome } = await this.run();
        const snapshot = await this.#cluster.snapshot();
        const nobodyWorks = Object.values(loads(snapshot)).every((load) => load === 0);
        const owed = snapshot.plan.target.some((worker) => worker !== null && snapshot.live.has(worker));
        return outcome === 'SETTLED' && (nobodyWorks || !owed || isSettled(snapshot));
      },
      { withinMs: 10_000, everyMs: 5 },
    );
  }

  /** As {@link settle}, with what is debounced. */
  async balance(): Promise<void> {
    await this.settle();
    await this.clock.advance(500);
    await this.settle();
  }

  async loads(): Promise<Record<string, number>> {
    return loads(await this.#cluster.snapshot());
  }

  async setMode(mode: Mode): Promise<void> {
    const zk = await this.#cluster.observer();
    await zk.setData(this.#cluster.paths.mode, modeCodec.encode(mode), -1);
  }

  async wish(id: string, wish: WorkerWish | 'nonsense'): Promise<void> {
    const zk = await this.#cluster.observer();
    const path = this.#cluster.paths.worker(id);
    const data = wish === 'nonsense' ? Buffer.from('{"v":1,"wish":"FLY"}') : workerWishCodec.encode(wish);
    if ((await zk.exists(path)) === null) await zk.create(path, data, 'PERSISTENT');
    else await zk.setData(path, data, -1);
  }
}
