/** A task that may have to wait for others of its name. */
interface Named {
  readonly name: string;
}

interface Lane<Task> {
  readonly running: Set<Task>;
  readonly waiting: Set<Task>;
}

/**
 * Bounds how many tasks of a name run at a time on this worker. What was claimed beyond that waits here, in the order of
 * its claim, and no more of its name is to be claimed until nothing of it waits: so at most a claim's worth does.
 */
export class NameLimits<Task extends Named> {
  readonly #limitOf: (name: string) => number | undefined;
  readonly #onNoneWaits: () => void;
  readonly #lanes = new Map<string, Lane<Task>>();
  #waiting = 0;

  /**
   * @param options.limitOf undefined where a name is not bounded
   * @param options.onNoneWaits called whenever the last of a name that waited does so no more
   */
  constructor(options: {
    readonly limitOf: (name: string) => number | undefined;
    readonly onNoneWaits: () => void;
  }) {
    this.#limitOf = options.limitOf;
    this.#onNoneWaits = options.onNoneWaits;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Those that wait. */
  get waitingTasks(): Task[] {
    return [...this.#lanes.values()].flatMap(({ waiting }) => [...waiting]);
  }

  /** The names of which some wait. */
  get busy(): string[] {
    return [...this.#lanes].flatMap(([name, { waiting }]) => (waiting.size > 0 ? [name] : []));
  }

  /** @returns whether `task` may start; otherwise it waits until {@link leave} names it */
  enter(task: Task): boolean {
    const limit = this.#limitOf(task.name);
    if (limit === undefined) return true;
    let lane = this.#lanes.get(task.name);
    if (lane === undefined) this.#lanes.set(task.name, (lane = { running: new Set(), waiting: new Set() }));
    if (lane.running.size < limit) {
      lane.running.add(task);
      return true;
    }
    lane.waiting.add(task);
    this.#waiting += 1;
    return false;
  }

  /**
   * It runs no more, or shall not start any more. Does nothing for one that has left.
   * @returns the one that takes its place, and has to be started
   */
  leave(task: Task): Task | undefined {
    const lane = this.#lanes.get(task.name);
    if (lane === undefined) return undefined;
    if (lane.waiting.has(task)) this.#waitsNoMore(lane, task);
    if (!lane.running.delete(task)) return undefined;
    const [next] = lane.waiting;
    if (next === undefined) {
      if (lane.running.size === 0) this.#lanes.delete(task.name);
      return undefined;
    }
    lane.running.add(next);
    this.#waitsNoMore(lane, next);
    return next;
  }

  #waitsNoMore(lane: Lane<Task>, task: Task): void {
    lane.waiting.delete(task);
    this.#waiting -= 1;
    if (lane.waiting.size === 0) this.#onNoneWaits();
  }
}
