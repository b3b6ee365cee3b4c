/**
 * Row locks as Postgres takes them (heap_lock_tuple in access/heap/heapam.c): who is compatible with all holders
 * gets the lock at once, even before those who wait; who is not waits in the order of arrival (behind the row's
 * heavyweight tuple lock), and in front of all for one holder after the other.
 */
export type LockMode = 'FOR KEY SHARE' | 'FOR SHARE' | 'FOR NO KEY UPDATE' | 'FOR UPDATE';

/** The table of conflicts (Postgres manual, 13.3.2) is: two modes conflict where their numbers add up to 3. */
const STRENGTH = { 'FOR KEY SHARE': 0, 'FOR SHARE': 1, 'FOR NO KEY UPDATE': 2, 'FOR UPDATE': 3 } as const;

const conflict = (a: LockMode, b: LockMode): boolean => STRENGTH[a] + STRENGTH[b] >= 3;

/** A transaction, to its locks. */
export interface Locker {
  readonly locked: Set<Lockable>;
  /** What it waits for. */
  waiting: Waiter | undefined;
  /** Has its lock: goes on. */
  wake(): void;
  /** Sleeps on something else now. */
  sleepAnew(): void;
}

interface Holder {
  readonly locker: Locker;
  mode: LockMode;
}

/** What can be locked: a row. */
export class Lockable {
  holders: Holder[] = [];
  waiters: Waiter[] = [];
}

/** One request that has to wait. */
export interface Waiter {
  readonly locker: Locker;
  readonly on: Lockable;
  readonly mode: LockMode;
  /** Arrival. */
  readonly order: number;
  /** The one holder it sleeps on, or others that came before. Each sleep has timeouts of its own. */
  sleepsOn: Locker | 'queue';
}

const firstConflict = (on: Lockable, locker: Locker, mode: LockMode): Locker | undefined =>
  on.holders.find((holder) => holder.locker !== locker && conflict(holder.mode, mode))?.locker;

/** Takes the lock if nobody stands against it. */
export function tryLock(on: Lockable, locker: Locker, mode: LockMode): boolean {
  const held = locker.locked.has(on) ? on.holders.find((holder) => holder.locker === locker) : undefined;
  if (held !== undefined && STRENGTH[held.mode] >= STRENGTH[mode]) return true;
  if (on.holders.length > 0 && firstConflict(on, locker, mode) !== undefined) return false;
  if (held !== undefined) held.mode = mode;
  else {
    on.holders.push({ locker, mode });
    locker.locked.add(on);
  }
  return true;
}

/** Queues a request that {@link tryLock} has refused. */
export function enqueue(on: Lockable, locker: Locker, mode: LockMode, order: number): Waiter {
  const waiter: Waiter = { locker, on, mode, order, sleepsOn: 'queue' };
  on.waiters.push(waiter);
  waiter.sleepsOn = obstacle(waiter) ?? 'queue';
  locker.waiting = waiter;
  return waiter;
}

/** What `waiter` has to sleep on. Who holds a weaker lock of the row already does not queue. */
function obstacle({ on, locker, mode, order }: Waiter): Locker | 'queue' | undefined {
  const upgrades = locker.locked.has(on);
  const behind = on.waiters.some((other) => other.order < order && conflict(other.mode, mode));
  return behind && !upgrades ? 'queue' : firstConflict(on, locker, mode);
}

/** Takes a waiter out of its row's queue. */
export function dequeue(waiter: Waiter): void {
  waiter.on.waiters = waiter.on.waiters.filter((other) => other !== waiter);
  waiter.locker.waiting = undefined;
}

/** Gives up all locks of a transaction that has ended. @returns the rows somebody waits for */
export function releaseAll(locker: Locker): Lockable[] {
  const wanted: Lockable[] = [];
  for (const on of locker.locked) {
    on.holders = on.holders.length === 1 ? [] : on.holders.filter((holder) => holder.locker !== locker);
    if (on.waiters.length > 0) wanted.push(on);
  }
  locker.locked.clear();
  return wanted;
}

/**
 * Gives the locks of `rows` to those who wait for them, in the order of their arrival.
 * @returns those who have got theirs, and those who sleep on something else now
 */
export function grant(rows: readonly Lockable[]): { granted: Waiter[]; moved: Waiter[] } {
  const granted: Waiter[] = [];
  const moved: Waiter[] = [];
  const waiters = rows.flatMap((on) => on.waiters).sort((a, b) => a.order - b.order);
  for (const waiter of waiters) {
    const sleepsOn = obstacle(waiter);
    if (sleepsOn === undefined && tryLock(waiter.on, waiter.locker, waiter.mode)) {
      dequeue(waiter);
      granted.push(waiter);
    } else if (sleepsOn !== waiter.sleepsOn) {
      waiter.sleepsOn = sleepsOn ?? 'queue';
      moved.push(waiter);
    }
  }
  return { granted, moved };
}

/** Whether `waiter` waits, by way of others, for itself. */
export function inDeadlock(waiter: Waiter): boolean {
  const seen = new Set<Locker>();
  const next = blockers(waiter);
  for (let locker = next.pop(); locker !== undefined; locker = next.pop()) {
    if (locker === waiter.locker) return true;
    if (seen.has(locker)) continue;
    seen.add(locker);
    if (locker.waiting !== undefined) next.push(...blockers(locker.waiting));
  }
  return false;
}

function blockers({ sleepsOn, on, order, mode }: Waiter): Locker[] {
  if (sleepsOn !== 'queue') return [sleepsOn];
  return on.waiters
    .filter((other) => other.order < order && conflict(other.mode, mode))
    .map(({ locker }) => locker);
}
