import { instanceName } from '../../libs/cluster/paths.ts';
import type { Snapshot } from './snapshot.ts';

/** A worker that was lost: gone, and not in good order. */
export interface Loss {
  readonly id: string;
  /** Of the incarnation that was lost. */
  readonly instance: string;
}

/**
 * Workers that are gone though they stand in the grants, and that left no farewell. ZooKeeper shows each of them
 * until the controller has published that it has taken note, so a new leader sees what its predecessor had no time
 * for. A worker that came back as another incarnation before anybody missed it is none, nor is one that held nothing.
 */
export function uncleanLosses({
  live,
  grants,
  farewells,
}: Pick<Snapshot, 'live' | 'grants' | 'farewells'>): Loss[] {
  return [...grants].flatMap(([id, { incarnation, parts, revoked }]) => {
    const instance = instanceName(id, incarnation);
    const held = Object.keys(parts).length + Object.keys(revoked).length > 0;
    return held && !live.has(id) && !farewells.has(instance) ? [{ id, instance }] : [];
  });
}

/** Which losses are new, and which are recent: those seen in the last `windowMs`. */
export class LossWindow {
  readonly #seenMs = new Map<string, { readonly id: string; readonly atMs: number }>();
  #closedAtMs = -Infinity;

  /** Takes note of what is lost as of `nowMs` (monotonic). Returns what it had not seen before. */
  observe(losses: readonly Loss[], nowMs: number, windowMs: number): Loss[] {
    const standing = new Set(losses.map(({ instance }) => instance));
    for (const [instance, { atMs }] of this.#seenMs) {
      if (!standing.has(instance) && nowMs - atMs > windowMs) this.#seenMs.delete(instance);
    }
    const fresh = losses.filter(({ instance }) => !this.#seenMs.has(instance));
    for (const { id, instance } of fresh) this.#seenMs.set(instance, { id, atMs: nowMs });
    return fresh;
  }

  /** The worker ids lost in the last `windowMs`. */
  recent(nowMs: number, windowMs: number): Set<string> {
    const recent = [...this.#seenMs.values()].filter(
      ({ atMs }) => atMs > this.#closedAtMs && nowMs - atMs <= windowMs,
    );
    return new Set(recent.map(({ id }) => id));
  }

  /** What was lost up to now is recent no longer. */
  close(nowMs: number): void {
    this.#closedAtMs = nowMs;
  }
}
