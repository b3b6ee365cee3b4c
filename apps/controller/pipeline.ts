import type { Leadership } from '../../libs/cluster/election.ts';
import type { Paths } from '../../libs/cluster/paths.ts';
import type { Watcher, ZooKeeper } from '../../libs/cluster/zookeeper.ts';
import type { Assignment, Targets } from '../../libs/core/assignment.ts';
import type { Clock } from '../../libs/core/clock.ts';
import type { Random } from '../../libs/core/random.ts';
import { transition } from '../../libs/core/transition.ts';
import type { Transition } from '../../libs/core/transition.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { AssignmentReport } from './assignment-report.ts';
import { Debounce } from './debounce.ts';
import { decide } from './decision.ts';
import { Guard } from './guard.ts';
import type { Precautions } from './guard.ts';
import { publish } from './publish.ts';
import type { PublishResult } from './publish.ts';
import { answeredFarewells, Retirement } from './retirement.ts';
import { SeenSince } from './seen-since.ts';
import { readSnapshot } from './snapshot.ts';
import type { Snapshot } from './snapshot.ts';

export interface PipelineOptions {
  readonly zk: ZooKeeper;
  readonly paths: Paths;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly leadership: Leadership;
  /** Called when it is worth running again. */
  readonly watcher: Watcher;
  readonly timing?: Partial<PipelineTiming>;
}

/** All in milliseconds. */
export interface PipelineTiming {
  /** Balancing waits until no worker has come or gone for `balanceQuietMs`, and `balanceMaxMs` at most. */
  readonly balanceQuietMs: number;
  readonly balanceMaxMs: number;
  /** How long a worker may take to release what was revoked before it is granted to another. */
  readonly releaseMs: number;
  /** How long the grants and the wish of a worker that is gone are kept. */
  readonly retireMs: number;
}

const TIMING: PipelineTiming = {
  balanceQuietMs: 500,
  balanceMaxMs: 1_000,
  releaseMs: 10_000,
  retireMs: 3_600_000,
};

/** `SETTLED`: nothing to write. `UNINITIALISED`: `/meta` is missing, or this is another cluster by now. */
export interface RunResult {
  readonly outcome: PublishResult | 'SETTLED' | 'UNINITIALISED';
  /** When to run again though nothing may have changed by then; Infinity for no such time. */
  readonly runAgainInMs: number;
}

/**
 * What a leader does, again and again: read everything, assign partitions to workers, work out the next step
 * towards that, publish it. What it remembers between runs are ages; nothing depends on them but waiting.
 */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #timing: PipelineTiming;
  readonly #report: AssignmentReport;
  readonly #balancing: Debounce;
  readonly #revokes = new SeenSince();
  readonly #retirement: Retirement;
  readonly #guard: Guard;
  /** What was wrong with records, and has been said; of the last snapshot only. */
  #unreadable = new Set<string>();
  #uid: string | undefined;
  #unconfirmed: string | undefined;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#report = new AssignmentReport(options.logger);
    this.#guard = new Guard(options.logger);
    this.#retirement = new Retirement(this.#timing.retireMs);
    this.#balancing = new Debounce({
      quietMs: this.#timing.balanceQuietMs,
      maxMs: this.#timing.balanceMaxMs,
    });
  }

  /** One run. Rejects as ZooKeeper does, and with a RecordError where a record makes no sense. */
  async run(): Promise<RunResult> {
    const snapshot = await this.#read();
    if (snapshot === null) return { outcome: 'UNINITIALISED', runAgainInMs: Infinity };
    const { clock, zk } = this.#options;
    const nowMs = clock.monotonicMs();
    const windowMs = zk.state.kind === 'CONNECTED' ? zk.state.sessionTimeoutMs : 0;
    const precautions = this.#guard.observe(
      snapshot,
      { monotonicMs: nowMs, wallMs: clock.wallMs() },
      windowMs,
    );
    const { target, waitMs, balances } = this.#assign(snapshot, precautions, nowMs);
    const next =
      target === null ? { plan: snapshot.plan, grants: new Map() } : this.#step(snapshot, target, nowMs);
    const outcome = await this.#publish(snapshot, next, precautions, nowMs);
    // Who comes from now on is waited for anew, though nobody has seen the cluster balanced in between.
    if (balances && (outcome === 'PUBLISHED' || outcome === 'UNKNOWN')) this.#balancing.reset();
    const releaseMs = this.#revokes.untilNextMs(this.#timing.releaseMs, nowMs);
    const retireMs = this.#retirement.untilNextMs(nowMs);
    return { outcome, runAgainInMs: Math.min(waitMs, releaseMs, retireMs) };
  }

  async #read(): Promise<Snapshot | null> {
    const { zk, paths, watcher, logger } = this.#options;
    const unreadable = new Set<string>();
    const snapshot = await readSnapshot({
      zk,
      paths,
      watcher,
      onUnreadable: ({ message }) => {
        if (!this.#unreadable.has(message)) logger.warn(`${message}: counts as absent`);
        this.#unreadable.add(message);
        unreadable.add(message);
      },
    });
    if (snapshot === null) return null;
    this.#unreadable = unreadable;
    this.#uid ??= snapshot.meta.uid;
    if (snapshot.meta.uid !== this.#uid) return null;
    if (this.#unconfirmed !== undefined) {
      const applied = snapshot.planOperation === this.#unconfirmed;
      logger.info(`the reply to a publish was lost; it was ${applied ? '' : 'not '}applied`);
      this.#unconfirmed = undefined;
    }
    this.#report.observe(snapshot.plan.target);
    this.#report.observeWorkers(snapshot.live.size);
    return snapshot;
  }

  /** The targets wanted, `null` for leaving everything as it is; whether they end a wait; and when to think again. */
  #assign(
    snapshot: Snapshot,
    { mode, quarantined }: Precautions,
    nowMs: number,
  ): { target: Targets | null; balances: boolean; waitMs: number } {
    const { urgent, wanted } = decide(snapshot, mode, quarantined);
    if (mode.mode !== 'AUTO') {
      this.#balancing.reset();
      const waitMs = mode.untilMs === undefined ? Infinity : mode.untilMs - this.#options.clock.wallMs();
      return { target: urgent.target, balances: false, waitMs };
    }

    // What is urgent is done at once, be it for a moment only. What can wait is balancing; and, while nobody
    // works yet, everything, so that workers that start together share in one go.
    const cold = wanted.moves.length > 0 && !anyoneGranted(snapshot);
    if (!cold && !balances(wanted)) {
      this.#balancing.reset();
      return { target: wanted.target, balances: false, waitMs: Infinity };
    }
    const quietInMs = this.#balancing.remainingMs([...snapshot.live.values()].sort().join(' '), nowMs);
    if (quietInMs === 0) return { target: wanted.target, balances: true, waitMs: Infinity };
    return { target: cold ? null : urgent.target, balances: false, waitMs: quietInMs };
  }

  #step(snapshot: Snapshot, target: Targets, nowMs: number): Transition {
    const { releaseMs } = this.#timing;
    this.#revokes.observe(revokesOf(snapshot), nowMs);
    const overdue = this.#revokes.olderThan(releaseMs, nowMs);
    if (overdue.size > 0) {
      this.#options.logger.warn(
        { revokes: [...overdue] },
        `${overdue.size} partitions were not released within ${releaseMs} ms: granting them to others`,
      );
    }
    return transition({
      ...snapshot,
      target,
      overdue: (worker, partition) =>
        overdue.has(revokeKey(worker, partition, snapshot.grants.get(worker)?.revoked[partition])),
    });
  }

  async #publish(
    snapshot: Snapshot,
    next: Transition,
    { mode, modeChanged, quarantined }: Precautions,
    nowMs: number,
  ): Promise<PublishResult | 'SETTLED'> {
    const retired = this.#retirement.observe(snapshot, nowMs);
    const farewells = answeredFarewells(snapshot, next);
    const settled = next.plan === snapshot.plan && !modeChanged;
    if (settled && retired.length + farewells.length === 0) return 'SETTLED';
    const operation = this.#options.random.uuid();
    const result = await publish({
      ...this.#options,
      snapshot,
      next,
      retired,
      farewells,
      quarantined,
      operation,
      ...(modeChanged && { mode }),
    });
    if (result === 'PUBLISHED') this.#report.observe(next.plan.target);
    if (result === 'UNKNOWN' && next.plan !== snapshot.plan) this.#unconfirmed = operation;
    return result;
  }
}

/** Whether it moves anything off a worker that lives. */
function balances({ moves }: Assignment): boolean {
  return moves.some(({ reason }) => reason === 'BALANCE');
}

function anyoneGranted({ live, grants }: Snapshot): boolean {
  return [...grants].some(
    ([id, { incarnation, parts }]) => live.get(id) === incarnation && Object.keys(parts).length > 0,
  );
}

function revokesOf({ grants }: Snapshot): string[] {
  return [...grants].flatMap(([id, { revoked }]) =>
    Object.entries(revoked).map(([partition, rev]) => revokeKey(id, Number(partition), rev)),
  );
}

/** The rev tells one revoke of a partition from the next. */
function revokeKey(worker: string, partition: number, rev: number | undefined): string {
  return `${worker}/${partition}@${rev ?? 0}`;
}
