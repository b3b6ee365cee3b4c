/**
 * When each owned partition next has work, as far as is known, in the database's time. One entry a partition:
 * a claim takes whatever is due, so the earliest time is all that the loop needs to know.
 */
export class DueTimes {
  readonly #dueAtMs = new Map<number, number>();
  /** Partitions whose next due time is not known and must be read. */
  readonly #unknown = new Set<number>();
  readonly #isAside: (partition: number) => boolean;

  /** @param isAside whether `partition` is left aside for now: what is known of it is kept, and not told */
  constructor(isAside: (partition: number) => boolean = () => false) {
    this.#isAside = isAside;
  }

  /** Something about `partition` may have changed: its due time must be read again. */
  forget(partition: number): void {
    this.#dueAtMs.delete(partition);
    this.#unknown.add(partition);
  }

  /** There is more to do in `partition` than was just claimed, from `dueAtMs` on: no need to read when. */
  presumeDue(partition: number, dueAtMs: number): void {
    this.#unknown.delete(partition);
    this.#dueAtMs.set(partition, dueAtMs);
  }

  /** No longer ours. */
  drop(partition: number): void {
    this.#dueAtMs.delete(partition);
    this.#unknown.delete(partition);
  }

  /** Work of `partition` is due at `dueAtMs` at the latest; an earlier time already known stands. */
  expect(partition: number, dueAtMs: number): void {
    const known = this.#dueAtMs.get(partition);
    if (known === undefined || dueAtMs < known) this.#dueAtMs.set(partition, dueAtMs);
  }

  /** Partitions to be read; from here on they count as known, to have no work until `expect` says otherwise. */
  takeUnknown(): number[] {
    const taken = [...this.#unknown].filter((partition) => !this.#isAside(partition));
    for (const partition of taken) this.#unknown.delete(partition);
    return taken;
  }

  get hasUnknown(): boolean {
    for (const partition of this.#unknown) if (!this.#isAside(partition)) return true;
    return false;
  }

  /** Partitions with work due at `nowMs`, the longest waiting first. */
  dueAt(nowMs: number): number[] {
    return [...this.#dueAtMs]
      .filter(([partition, dueAtMs]) => dueAtMs <= nowMs && !this.#isAside(partition))
      .sort((a, b) => a[1] - b[1] || a[0] - b[0])
      .map(([partition]) => partition);
  }

  /** The earliest due time known, `Infinity` where none is. */
  nextMs(): number {
    let next = Infinity;
    for (const [partition, dueAtMs] of this.#dueAtMs)
      if (dueAtMs < next && !this.#isAside(partition)) next = dueAtMs;
    return next;
  }
}
