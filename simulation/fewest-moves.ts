import { modeCodec, planCodec, workerWishCodec } from '../libs/cluster/records.ts';
import { parseInstanceName } from '../libs/cluster/paths.ts';
import type { Paths } from '../libs/cluster/paths.ts';
import type { Change } from '../libs/embedded/zookeeper/transaction.ts';

/** What has changed so lately may be news to a controller whose plan is on its way. */
const NEWS_MS = 10_000;

interface Planned {
  readonly target: readonly (string | undefined)[];
}

/**
 * P8: no plan moves more partitions than it must, whoever wrote it and whatever had happened before. Judged by
 * counting, without the planner: partitions whose worker is gone, and what exceeds fair shares. Not judged while
 * administrators have wishes, which is what the planner's own tests are for.
 */
export class FewestMoves {
  readonly #paths: Paths;
  readonly #nowMs: () => number;
  readonly #broken: (promise: string, message: string) => void;
  /** Worker ids with live nodes, and when one of theirs came or went. */
  readonly #live = new Map<string, Set<string>>();
  readonly #cameOrWentAtMs = new Map<string, number>();
  /** Znodes of wishes by path, and when one last was there. */
  readonly #wishes = new Set<string>();
  #wishedAtMs = -Infinity;
  #plan: Planned | undefined;

  constructor(options: {
    readonly paths: Paths;
    readonly nowMs: () => number;
    readonly broken: (promise: string, message: string) => void;
  }) {
    this.#paths = options.paths;
    this.#nowMs = options.nowMs;
    this.#broken = options.broken;
  }

  /** ZooKeeper has lost its data. */
  wiped(): void {
    for (const each of [this.#live, this.#cameOrWentAtMs, this.#wishes]) each.clear();
    this.#plan = undefined;
  }

  /** One transaction's changes. */
  committed(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.type !== 'create' && change.type !== 'setData' && change.type !== 'delete') continue;
      const { path } = change;
      const data = change.type === 'delete' ? undefined : (change.data ?? undefined);
      if (path.startsWith(`${this.#paths.live}/`))
        this.#cameOrWent(path.slice(this.#paths.live.length + 1), data !== undefined);
      else if (path === this.#paths.mode || path.startsWith(`${this.#paths.workers}/`))
        this.#wished(path, data);
      else if (path === this.#paths.plan && data !== undefined) this.#planned(data);
    }
  }

  #cameOrWent(instance: string, came: boolean): void {
    const { id, incarnation } = parseInstanceName(instance) ?? { id: '', incarnation: '' };
    const incarnations = this.#live.get(id) ?? new Set();
    this.#live.set(id, incarnations);
    if (came) incarnations.add(incarnation);
    else incarnations.delete(incarnation);
    this.#cameOrWentAtMs.set(id, this.#nowMs());
  }

  #wished(path: string, data: Buffer | undefined): void {
    if (this.#wishes.size > 0) this.#wishedAtMs = this.#nowMs();
    if (data !== undefined && asksForSomething(path, data, this.#paths)) this.#wishes.add(path);
    else this.#wishes.delete(path);
  }

  #planned(data: Buffer): void {
    const before = this.#plan;
    const { workers, target } = planCodec.decode(data, this.#paths.plan);
    const after = { target: target.map((index) => workers[index]) };
    this.#plan = after;
    const wished = this.#wishes.size > 0 || this.#nowMs() - this.#wishedAtMs < NEWS_MS;
    if (before === undefined || wished) return;
    const moved = before.target.filter((worker, partition) => worker !== after.target[partition]).length;
    const must = this.#mustMove(before, after);
    if (moved > must)
      this.#broken(
        'P8',
        `a plan moves ${moved} partitions where ${must} would do: ${before.target.join(' ')} → ${after.target.join(' ')}`,
      );
  }

  /** How many partitions must move from `before` so that those share fairly who may share in `after`. */
  #mustMove(before: Planned, after: Planned): number {
    const sharing = new Set(after.target.filter((worker) => worker !== undefined));
    for (const [id, incarnations] of this.#live) {
      const lately = this.#nowMs() - (this.#cameOrWentAtMs.get(id) ?? 0) < NEWS_MS;
      if (incarnations.size > 0 && !lately) sharing.add(id);
    }
    const loads = new Map([...sharing].map((id) => [id, 0]));
    let homeless = 0;
    for (const worker of before.target) {
      const load = loads.get(worker ?? '');
      if (worker === undefined || load === undefined) homeless += 1;
      else loads.set(worker, load + 1);
    }
    const share = Math.floor(before.target.length / sharing.size);
    const remainder = before.target.length % sharing.size;
    // A share is rounded up for those who have most already.
    const shed = [...loads.values()]
      .sort((a, b) => b - a)
      .reduce((sum, load, i) => sum + Math.max(0, load - share - (i < remainder ? 1 : 0)), 0);
    return homeless + shed;
  }
}

function asksForSomething(path: string, data: Buffer, paths: Paths): boolean {
  if (path === paths.mode) return modeCodec.decode(data, path).requiredTag !== undefined;
  const { wish = 'ENABLED', ...others } = workerWishCodec.decode(data, path);
  return wish !== 'ENABLED' || Object.keys(others).length > 0;
}
