import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { Logger } from 'pino';
import type { DigestAuth } from '../../../libs/cluster/access.ts';
import { bootstrapTree } from '../../../libs/cluster/bootstrap.ts';
import { connectZooKeeper } from '../../../libs/cluster/connection.ts';
import { whenConnected } from '../../../libs/cluster/operations.ts';
import { clusterPaths } from '../../../libs/cluster/paths.ts';
import type { Paths } from '../../../libs/cluster/paths.ts';
import type { ZooKeeper } from '../../../libs/cluster/zookeeper.ts';
import { systemClock, systemRandom } from '../../../libs/runtime/system.ts';
import { runController } from '../controller.ts';
import type { PipelineTiming } from '../pipeline.ts';
import { readSnapshot } from '../snapshot.ts';
import type { Snapshot } from '../snapshot.ts';
import { ScriptedWorker } from './scripted-worker.ts';
import type { ScriptedWorkerOptions } from './scripted-worker.ts';

export interface RunningController {
  readonly zk: ZooKeeper;
  /** What it has logged at its default level, messages only. */
  readonly log: readonly string[];
  /** Ends it as SIGTERM would: it resigns and closes its session. */
  stop(): Promise<void>;
}

/** A cluster of its own name on a ZooKeeper server: real controllers, and workers played by the test. */
export class ClusterUnderTest {
  readonly paths: Paths = clusterPaths(`test-${randomUUID()}`);
  readonly #connectString: string;
  readonly #sessionTimeoutMs: number;
  readonly #closers: (() => Promise<void>)[] = [];
  #observer: ZooKeeper | undefined;

  constructor(options: { connectString: string; sessionTimeoutMs?: number }) {
    this.#connectString = options.connectString;
    this.#sessionTimeoutMs = options.sessionTimeoutMs ?? 4_000;
  }

  /** What cluster-init does in ZooKeeper. */
  async initialise(partitions: number, uid: string = randomUUID()): Promise<void> {
    await bootstrapTree(await this.observer(), this.paths, { uid, partitions });
  }

  /** A session of the test's own, connected. */
  async observer(): Promise<ZooKeeper> {
    this.#observer ??= await this.connect();
    await whenConnected(this.#observer, { clock: systemClock, timeoutMs: 10_000 });
    return this.#observer;
  }

  /** A session of its own, by another way to the same server where `connectString` says so. */
  async connect(connectString = this.#connectString, auth?: DigestAuth): Promise<ZooKeeper> {
    const zk = connectZooKeeper({
      connectString,
      auth,
      sessionTimeoutMs: this.#sessionTimeoutMs,
      clock: systemClock,
      random: systemRandom,
    });
    this.#closers.push(() => zk.close());
    await whenConnected(zk, { clock: systemClock, timeoutMs: 10_000 });
    return zk;
  }

  async startController(
    id: string,
    timing: Partial<PipelineTiming> = {},
    connectString?: string,
  ): Promise<RunningController> {
    const zk = await this.connect(connectString);
    const log: string[] = [];
    const stopping = new AbortController();
    const running = runController(
      {
        zk,
        paths: this.paths,
        id,
        host: 'localhost',
        clock: systemClock,
        random: systemRandom,
        logger: recording(log),
        timing,
      },
      stopping.signal,
    );
    const stop = async () => {
      stopping.abort();
      await running;
      await zk.close();
    };
    this.#closers.push(stop);
    return { zk, log, stop };
  }

  async join(id: string, self: ScriptedWorkerOptions['self'] = {}): Promise<ScriptedWorker> {
    const zk = await this.connect();
    return ScriptedWorker.join({ zk, paths: this.paths, id, incarnation: randomUUID(), self });
  }

  async snapshot(): Promise<Snapshot> {
    const snapshot = await readSnapshot({
      zk: await this.observer(),
      paths: this.paths,
      watcher: ignore,
      onUnreadable: ignore,
    });
    if (snapshot === null) throw new Error('the cluster is not initialised');
    return snapshot;
  }

  async close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close();
  }
}

/** One function, so that the watches of many snapshots are one. */
const ignore = () => undefined;

function recording(log: string[]): Logger {
  return pino({ level: 'info' }, { write: (line) => log.push((JSON.parse(line) as { msg: string }).msg) });
}

/** Every partition's grant as `worker@epoch`, `-` where nobody has been granted it. */
export function grantsByPartition({ meta, grants, live }: Snapshot): string[] {
  const byPartition = Array<string>(meta.partitions).fill('-');
  for (const [id, { incarnation, parts }] of grants) {
    if (live.get(id) !== incarnation) continue;
    for (const [partition, epoch] of Object.entries(parts)) byPartition[Number(partition)] = `${id}@${epoch}`;
  }
  return byPartition;
}

/** Whether each partition is granted to its target, which has acknowledged it under that epoch. */
export function isSettled({ plan, grants, live, acks }: Snapshot): boolean {
  return plan.target.every((worker, partition) => {
    const granted = worker === null ? undefined : grants.get(worker);
    const epoch = granted?.parts[partition];
    return (
      worker !== null &&
      epoch !== undefined &&
      granted?.incarnation === live.get(worker) &&
      acks.get(worker)?.owned[partition] === epoch
    );
  });
}

/** Granted partitions of each living worker. */
export function loads(snapshot: Snapshot): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries([...snapshot.live.keys()].map((id) => [id, 0]));
  for (const granted of grantsByPartition(snapshot)) {
    const id = granted.split('@')[0] ?? '';
    if (id in counts) counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}
