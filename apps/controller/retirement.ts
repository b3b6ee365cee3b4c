import { instanceName } from '../../libs/cluster/paths.ts';
import type { Transition } from '../../libs/core/transition.ts';
import { SeenSince } from './seen-since.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * Which workers' records are no longer needed: those of ids that have been gone, and were granted nothing, for
 * `retireMs`. Containers get new ids, so that an old one's wish would stand for ever. An administrator who changes a
 * wish meanwhile means it: that begins anew.
 */
export class Retirement {
  readonly #gone = new SeenSince();
  readonly #retireMs: number;

  constructor(retireMs: number) {
    this.#retireMs = retireMs;
  }

  /** The ids to retire as of `nowMs` (monotonic). */
  observe({ live, grants, wishes }: Snapshot, nowMs: number): string[] {
    const keys = new Map<string, string>();
    for (const id of [...grants.keys(), ...wishes.keys()]) {
      const standing = grants.get(id);
      if (live.has(id) || (standing !== undefined && holdsAny(standing))) continue;
      keys.set(`${id}@${wishes.get(id)?.version ?? 0}`, id);
    }
    this.#gone.observe(keys.keys(), nowMs);
    return [...this.#gone.olderThan(this.#retireMs, nowMs)].flatMap((key) => keys.get(key) ?? []);
  }

  /** Milliseconds until there may be another one; Infinity for never. */
  untilNextMs(nowMs: number): number {
    return this.#gone.untilNextMs(this.#retireMs, nowMs);
  }
}

/** The farewells that have served their purpose: after `next`, no grant names the incarnation that left them. */
export function answeredFarewells({ farewells, grants }: Snapshot, next: Transition): string[] {
  const waiting = new Set(
    [...grants]
      .filter(([id, standing]) => holdsAny(standing) && !next.grants.has(id))
      .map(([id, { incarnation }]) => instanceName(id, incarnation)),
  );
  return [...farewells].filter((name) => !waiting.has(name));
}

function holdsAny({ parts, revoked }: { readonly parts: object; readonly revoked: object }): boolean {
  return Object.keys(parts).length + Object.keys(revoked).length > 0;
}
