import type { WatchEvent } from './protocol.ts';

export type WatchKind = 'data' | 'child';

export interface Notification {
  readonly sessionId: bigint;
  readonly event: WatchEvent;
}

/** One-shot watches by path. A session has at most one connection, and its watches end with that. */
export class Watches {
  private readonly watchers = {
    data: new Map<string, Set<bigint>>(),
    child: new Map<string, Set<bigint>>(),
  };
  private readonly paths = {
    data: new Map<bigint, Set<string>>(),
    child: new Map<bigint, Set<string>>(),
  };

  add(kind: WatchKind, path: string, sessionId: bigint): void {
    getOrAdd(this.watchers[kind], path).add(sessionId);
    getOrAdd(this.paths[kind], sessionId).add(path);
  }

  /** Forgets every watch of a session. */
  drop(sessionId: bigint): void {
    for (const kind of ['data', 'child'] as const) {
      for (const path of this.paths[kind].get(sessionId) ?? []) {
        const watchers = this.watchers[kind].get(path);
        watchers?.delete(sessionId);
        if (watchers?.size === 0) this.watchers[kind].delete(path);
      }
      this.paths[kind].delete(sessionId);
    }
  }

  /**
   * The notifications `event` causes; their watches are used up. A deletion fires data and child watches, and
   * a client that has both hears of it once.
   */
  trigger(event: WatchEvent): Notification[] {
    const hit = new Set<bigint>();
    if (event.type !== 'NODE_CHILDREN_CHANGED') this.takeInto(hit, 'data', event.path);
    if (event.type === 'NODE_CHILDREN_CHANGED' || event.type === 'NODE_DELETED') {
      this.takeInto(hit, 'child', event.path);
    }
    return [...hit].map((sessionId) => ({ sessionId, event }));
  }

  private takeInto(hit: Set<bigint>, kind: WatchKind, path: string): void {
    for (const sessionId of this.watchers[kind].get(path) ?? []) {
      hit.add(sessionId);
      this.paths[kind].get(sessionId)?.delete(path);
    }
    this.watchers[kind].delete(path);
  }
}

function getOrAdd<K, V>(map: Map<K, Set<V>>, key: K): Set<V> {
  let found = map.get(key);
  if (found === undefined) map.set(key, (found = new Set()));
  return found;
}
