import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assign } from './assignment.ts';
import type { Targets } from './assignment.ts';
import { transition } from './transition.ts';
import type { Ack, Grants, PlanState, Transition } from './transition.ts';

const PARTITIONS = 4;

/**
 * A cluster on paper: what ZooKeeper and Postgres hold, workers that obey their grants, and a controller that
 * publishes what `transition` says. Everything happens when the story tells it to.
 */
class Cluster {
  plan: PlanState;
  readonly live = new Map<string, string>();
  readonly grants = new Map<string, Grants>();
  readonly acks = new Map<string, Ack>();
  readonly overdue = new Set<string>();
  /** Postgres: epoch and owner of each partition. */
  readonly rows: { epoch: number; incarnation: string | null }[];
  /** Everything minted, as `partition@epoch`. */
  readonly minted: string[] = [];
  #incarnations = 0;

  constructor(partitions = PARTITIONS) {
    this.plan = {
      rev: 0,
      target: Array<null>(partitions).fill(null),
      epoch: Array<number>(partitions).fill(0),
    };
    this.rows = Array.from({ length: partitions }, () => ({ epoch: 0, incarnation: null }));
  }

  join(worker: string): void {
    this.#incarnations += 1;
    this.live.set(worker, `i${this.#incarnations}`);
    this.acks.delete(worker);
  }

  leave(worker: string): void {
    this.live.delete(worker);
    this.acks.delete(worker);
  }

  /** The worker brings Postgres and its ack in line with its grants. */
  ack(worker: string): void {
    const incarnation = this.live.get(worker);
    const grants = this.grants.get(worker);
    if (incarnation === undefined || grants?.incarnation !== incarnation) return;
    const owned: Record<string, number> = {};
    const fenced: Record<string, number> = {};
    this.rows.forEach((row, partition) => {
      const epoch = grants.parts[partition];
      if (epoch === undefined) {
        if (row.incarnation === incarnation) row.incarnation = null;
      } else if (row.epoch < epoch || (row.epoch === epoch && row.incarnation === incarnation)) {
        row.epoch = epoch;
        row.incarnation = incarnation;
        owned[partition] = epoch;
      } else fenced[partition] = row.epoch;
    });
    this.acks.set(worker, { rev: grants.rev, owned, releasing: [], fenced });
  }

  /** One publish towards `target`; by default towards what the planner wants. */
  step(target?: Targets): Transition {
    const workers = [...this.live.keys()].map((id) => ({ id }));
    const result = transition({
      plan: this.plan,
      target: target ?? assign(this.plan.target, workers, { balance: true }).target,
      live: this.live,
      grants: this.grants,
      acks: this.acks,
      overdue: (worker) => this.overdue.has(worker),
    });
    result.plan.epoch.forEach((epoch, partition) => {
      if (epoch === this.plan.epoch[partition]) return;
      expect(epoch).toBeGreaterThan(this.plan.epoch[partition] ?? 0);
      this.minted.push(`${partition}@${epoch}`);
    });
    this.plan = result.plan;
    for (const [worker, grants] of result.grants) this.grants.set(worker, grants);
    return result;
  }

  /** The records as a transcript: `a: 0@1 1@1 -2` is granted 0 and 1 at epoch 1, and 2 is being revoked. */
  get transcript(): string {
    return [...this.grants]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([worker, { parts, revoked }]) => {
        const words = [
          ...Object.entries(parts).map(([partition, epoch]) => `${partition}@${epoch}`),
          ...Object.keys(revoked).map((partition) => `-${partition}`),
        ];
        return `${worker}: ${words.join(' ') || 'none'}`;
      })
      .join(' | ');
  }
}

describe('a transition', () => {
  it('grants all that is free in one step, each at its first epoch', () => {
    const cluster = new Cluster();
    cluster.join('a');
    cluster.join('b');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@1 1@1 | b: 2@1 3@1');
    expect(cluster.plan.rev).toBe(1);
    expect([...cluster.grants.values()].map((grants) => grants.rev)).toEqual([1, 1]);
  });

  it('changes nothing, rev included, where nothing is to be done', () => {
    const cluster = new Cluster();
    cluster.join('a');
    cluster.step();
    const { plan } = cluster;
    const again = cluster.step();
    expect(again.plan).toBe(plan);
    expect(again.grants.size).toBe(0);
  });

  it('moves a partition in two: revoked, and granted anew only when its release is acknowledged', () => {
    const cluster = new Cluster();
    cluster.join('a');
    cluster.step();
    cluster.ack('a');
    cluster.join('b');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@1 1@1 -2 -3');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@1 1@1 -2 -3');
    cluster.ack('a');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@1 1@1 | b: 2@2 3@2');
  });

  it('waits while the ack is older than the revoke, or still owns or releases the partition', () => {
    const waits: [Ack, string][] = [
      [{ rev: 1, owned: {}, releasing: [], fenced: {} }, 'a: -0'],
      [{ rev: 2, owned: { 0: 1 }, releasing: [], fenced: {} }, 'a: -0'],
      [{ rev: 2, owned: {}, releasing: [0], fenced: {} }, 'a: -0'],
      [{ rev: 2, owned: {}, releasing: [], fenced: {} }, 'a: none | b: 0@2'],
    ];
    for (const [ack, expected] of waits) {
      const cluster = new Cluster(1);
      cluster.join('a');
      cluster.step();
      cluster.join('b');
      cluster.step(['b']);
      cluster.acks.set('a', ack);
      cluster.step(['b']);
      expect(cluster.transcript).toBe(expected);
    }
  });

  it('waits for no release that is overdue', () => {
    const cluster = new Cluster(1);
    cluster.join('a');
    cluster.step();
    cluster.join('b');
    cluster.step(['b']);
    cluster.overdue.add('a');
    cluster.step(['b']);
    expect(cluster.transcript).toBe('a: none | b: 0@2');
  });

  it('frees at once what a worker held that is gone, mid-move or not', () => {
    const cluster = new Cluster();
    cluster.join('a');
    cluster.step();
    cluster.ack('a');
    cluster.join('b');
    cluster.step();
    cluster.leave('a');
    cluster.step();
    expect(cluster.transcript).toBe('a: none | b: 0@2 1@2 2@2 3@2');
  });

  it('grants a worker its own again, at higher epochs, when it returns as a new incarnation', () => {
    const cluster = new Cluster();
    cluster.join('a');
    cluster.step();
    cluster.leave('a');
    cluster.step();
    expect(cluster.transcript).toBe('a: none');
    cluster.join('a');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@2 1@2 2@2 3@2');
    cluster.join('a');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@3 1@3 2@3 3@3');
    expect(cluster.grants.get('a')?.incarnation).toBe('i3');
  });

  it('mints past the database where a grant is refused, once', () => {
    const cluster = new Cluster(1);
    cluster.rows[0] = { epoch: 37, incarnation: 'of a ZooKeeper that was wiped' };
    cluster.join('a');
    cluster.step();
    cluster.ack('a');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@38');
    // The ack is still the old one: its report has been answered.
    expect(cluster.step().grants.size).toBe(0);
    cluster.ack('a');
    expect(cluster.acks.get('a')).toMatchObject({ owned: { 0: 38 }, fenced: {} });
  });

  it('carries on from the records alone, whoever leads', () => {
    const cluster = new Cluster();
    cluster.join('a');
    cluster.step();
    cluster.ack('a');
    cluster.join('b');
    cluster.step();
    // A publish of several chunks was cut off: the plan has the new epochs, the grants have not.
    cluster.ack('a');
    const unpublished = new Map(cluster.grants);
    cluster.step();
    for (const [worker, grants] of unpublished) cluster.grants.set(worker, grants);
    cluster.grants.delete('b');
    cluster.step();
    expect(cluster.transcript).toBe('a: 0@1 1@1 | b: 2@3 3@3');
  });
});

describe('any history', () => {
  const worker = fc.constantFrom('a', 'b', 'c');
  const happening = fc.oneof(
    fc.record({ kind: fc.constantFrom('join' as const, 'leave' as const, 'ack' as const), worker }),
    fc.record({ kind: fc.constant('overdue' as const), worker }),
    fc.record({ kind: fc.constantFrom('step' as const, 'wipe' as const) }),
  );
  type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

  function happen(cluster: Cluster, what: Happening): void {
    switch (what.kind) {
      case 'overdue':
        cluster.overdue.add(what.worker);
        cluster.step();
        cluster.overdue.clear();
        return;
      case 'wipe': {
        // ZooKeeper lost everything: sessions, plan and epochs. The database remembers.
        const { plan } = new Cluster();
        cluster.plan = plan;
        cluster.minted.length = 0;
        for (const id of [...cluster.live.keys()]) cluster.join(id);
        cluster.grants.clear();
        return;
      }
      case 'step':
        cluster.step();
        return;
      default:
        cluster[what.kind](what.worker);
    }
  }

  function expectOneGrantEach(cluster: Cluster): void {
    const granted = [...cluster.grants.values()].flatMap(({ parts }) => Object.keys(parts));
    expect(new Set(granted).size).toBe(granted.length);
  }

  it('grants no partition to two workers, and never the same epoch twice', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (history) => {
        const cluster = new Cluster();
        for (const what of history) {
          happen(cluster, what);
          expectOneGrantEach(cluster);
        }
        expect(new Set(cluster.minted).size).toBe(cluster.minted.length);
      }),
      { numRuns: 300 },
    );
  });

  it('ends, once things are quiet, with every partition owned by its target, and then minting stops', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (history) => {
        const cluster = new Cluster();
        for (const what of history) happen(cluster, what);
        cluster.join('a');
        // Revoke, release, grant, refusal, grant past it, and one round in which nothing happens.
        for (let round = 0; round < 6; round += 1) {
          for (const id of cluster.live.keys()) cluster.ack(id);
          cluster.step();
        }
        const { plan } = cluster;
        expect(cluster.step().plan).toBe(plan);
        cluster.rows.forEach((row, partition) => {
          const owner = plan.target[partition] ?? '';
          expect(row).toEqual({ epoch: plan.epoch[partition], incarnation: cluster.live.get(owner) });
        });
      }),
      { numRuns: 300 },
    );
  });
});
