import type { Ack, Grants, Plan } from '../libs/cluster/records.ts';
import { parseInstanceName } from '../libs/cluster/paths.ts';
import type { Paths } from '../libs/cluster/paths.ts';
import type { Change } from '../libs/embedded/zookeeper/transaction.ts';
import type { OwnerRow, SimulatedDatabase } from './store/database.ts';

/** How long a worker may take to release what was revoked, less what clocks and looks may lose. */
const OVERDUE_MS = 9_000;

/**
 * How partitions move, step by step, as docs/ARCHITECTURE.md has it: nothing is granted before it was released (or
 * its holder is gone, or overdue), nothing is said to be released that is not, and epochs are minted upwards.
 * Postgres would fence what breaks these; it would cost refusals and delays, and the next fault might not be fenced.
 */
export class Moves {
  readonly #paths: Paths;
  readonly #database: SimulatedDatabase;
  readonly #nowMs: () => number;
  readonly #broken: (promise: string, message: string) => void;
  readonly #count: (what: string) => void;
  readonly #grants = new Map<string, Grants>();
  readonly #acks = new Map<string, Ack>();
  readonly #live = new Set<string>();
  /** Instances whose worker has joined anew since: what they were granted counts for nothing. */
  readonly #superseded = new Set<string>();
  /** When a revoke was first seen, by worker, partition and rev. */
  readonly #revokedAtMs = new Map<string, number>();
  /** Acquired by statements that their worker had given up on: of these it can know nothing, and the epoch fences them. */
  readonly #abandoned = new Set<string>();
  #plan: Plan | undefined;

  constructor(options: {
    readonly paths: Paths;
    readonly database: SimulatedDatabase;
    readonly nowMs: () => number;
    readonly broken: (promise: string, message: string) => void;
    readonly count: (what: string) => void;
  }) {
    this.#paths = options.paths;
    this.#database = options.database;
    this.#database.onCommit(({ abandoned, owners }) => {
      if (abandoned) for (const { after } of owners) this.#abandoned.add(ownership(after));
    });
    this.#nowMs = options.nowMs;
    this.#broken = options.broken;
    this.#count = options.count;
  }

  /** ZooKeeper has lost its data. */
  wiped(): void {
    for (const each of [this.#grants, this.#acks, this.#live, this.#superseded, this.#revokedAtMs])
      each.clear();
    this.#plan = undefined;
  }

  /** One transaction's changes. */
  committed(changes: readonly Change[]): void {
    const granted: { worker: string; grants: Grants }[] = [];
    for (const change of changes) {
      if (change.type !== 'create' && change.type !== 'setData' && change.type !== 'delete') continue;
      const { path } = change;
      const name = path.slice(path.lastIndexOf('/') + 1);
      const data = change.type === 'delete' ? undefined : (change.data ?? undefined);
      if (path === this.#paths.plan) this.#planned(parse(data) as Plan | undefined);
      else if (path === this.#paths.grantsOf(name)) {
        const grants = parse(data) as Grants | undefined;
        if (grants === undefined) this.#grants.delete(name);
        else granted.push({ worker: name, grants });
      } else if (path.startsWith(`${this.#paths.acks}/`))
        this.#acknowledged(name, parse(data) as Ack | undefined);
      else if (path.startsWith(`${this.#paths.live}/`)) {
        if (data === undefined) this.#live.delete(name);
        else this.#joined(name);
      }
    }
    for (const { worker, grants } of granted) this.#checkGranted(worker, grants);
    for (const { worker, grants } of granted) {
      this.#grants.set(worker, grants);
      for (const [partition, rev] of Object.entries(grants.revoked)) {
        const key = `${worker}/${partition}@${rev}`;
        if (!this.#revokedAtMs.has(key)) this.#revokedAtMs.set(key, this.#nowMs());
      }
    }
  }

  #joined(instance: string): void {
    const id = parseInstanceName(instance)?.id;
    for (const name of this.#live) if (parseInstanceName(name)?.id === id) this.#superseded.add(name);
    this.#live.add(instance);
  }

  #planned(plan: Plan | undefined): void {
    const before = this.#plan;
    this.#plan = plan;
    if (before === undefined || plan === undefined) return;
    const down = plan.epoch.findIndex((epoch, partition) => epoch < (before.epoch[partition] ?? 0));
    if (down >= 0)
      this.#broken(
        'P3',
        `the plan’s epoch of partition ${down} went from ${before.epoch[down] ?? 0} back to ${plan.epoch[down] ?? 0}`,
      );
  }

  #checkGranted(worker: string, grants: Grants): void {
    const before = this.#grants.get(worker);
    const same =
      before !== undefined && JSON.stringify({ ...before, rev: 0 }) === JSON.stringify({ ...grants, rev: 0 });
    if (same) this.#broken('moves', `the grants of ${worker} were written again, with nothing new in them`);
    for (const [partition, epoch] of Object.entries(grants.parts)) {
      if (before?.incarnation === grants.incarnation && before.parts[partition] !== undefined) continue;
      for (const [other, theirs] of this.#grants) {
        if (other !== worker && this.#mayHold(other, theirs, partition))
          this.#broken(
            'moves',
            `partition ${partition} was granted to ${worker} under ${epoch} before ${other} had released it`,
          );
      }
    }
  }

  #mayHold(worker: string, { incarnation, parts, revoked }: Grants, partition: string): boolean {
    const instance = `${worker}~${incarnation}`;
    if (!this.#live.has(instance) || this.#superseded.has(instance)) return false;
    if (parts[partition] !== undefined) return true;
    const rev = revoked[partition];
    if (rev === undefined) return false;
    const sinceMs = this.#revokedAtMs.get(`${worker}/${partition}@${rev}`) ?? -Infinity;
    if (this.#nowMs() - sinceMs > OVERDUE_MS) {
      this.#count('grants of what was overdue');
      return false;
    }
    return !releasedBy(this.#acks.get(instance), partition, rev);
  }

  #acknowledged(instance: string, ack: Ack | undefined): void {
    if (ack === undefined) {
      this.#acks.delete(instance);
      return;
    }
    this.#acks.set(instance, ack);
    const { id, incarnation } = parseInstanceName(instance) ?? { id: '', incarnation: '' };
    const grants = this.#grants.get(id);
    if (grants?.incarnation !== incarnation) return;
    for (const [partition, rev] of Object.entries(grants.revoked)) {
      const owner = this.#database.owners[Number(partition)];
      if (
        releasedBy(ack, partition, rev) &&
        owner?.incarnation === incarnation &&
        !this.#abandoned.has(ownership(owner))
      )
        this.#broken(
          'moves',
          `${id} says that it has released partition ${partition}, and owns it in Postgres`,
        );
    }
  }
}

function ownership(owner: OwnerRow | undefined): string {
  return `${owner?.partitionId ?? ''}/${owner?.incarnation ?? ''}@${owner?.epoch ?? ''}`;
}

function releasedBy(ack: Ack | undefined, partition: string, rev: number): boolean {
  return (
    ack !== undefined &&
    ack.rev >= rev &&
    ack.owned[partition] === undefined &&
    !ack.releasing.includes(Number(partition))
  );
}

function parse(data: Buffer | undefined): unknown {
  return data === undefined ? undefined : JSON.parse(data.toString('utf8'));
}
