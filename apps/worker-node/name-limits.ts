/** A task that may have to wait for others of its name. */
interface Named {
  readonly name: string;
}

interface Lane<Task> {
  running: number;
  readonly waiting: Set<Task>;
}

/**
 * Bounds how many tasks of a name run at a time on this worker. What was claimed beyond that waits here, in the order of
 * its claim, and no more of its name is to be claimed until nothing of it waits: so at most a claim's worth does.
 */
export class NameLimits<Task extends Named> {
  readonly #limitOf: (name: string) => number | undefined;
  readonly #lanes = new Map<string, Lane<Task>>();
  #waiting = 0;

  /** @param limitOf undefined where a name is not bounded */
  constructor(limitOf: (name: string) => number | undefined) {
    this.#limitOf = limitOf;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The names of which some wait. */
  get busy(): string[] {
    return [...this.#lanes].flatMap(([name, { waiting }]) => (waiting.size > 0 ? [name] : []));
  }

  /** Whether some of this name wait. */
  isBusy(name: string): boolean {
    return (this.#lanes.get(name)?.waiting.size ?? 0) > 0;
  }

  /** @returns whether `task` may start; otherwise it waits until {@link leave} names it */
  enter(task: Task): boolean {
    const limit = this.#limitOf(task.name);
    if (limit === undefined) return true;
    let lane = this.#lanes.get(task.name);
    if (lane === undefined) this.#lanes.set(task.name, (lane = { running: 0, waiting: new Set() }));
    if (lane.running < limit) {
      lane.running += 1;
      return true;
    }
    lane.waiting.add(task);
    this.#waiting += 1;
    return false;
  }

  /** A task that had started has ended. @returns the one that takes its place, and has to be started */
  leave({ name }: Named): Task | undefined {
    const lane = this.#lanes.get(name);
    if (lane === undefined) return undefined;
    const [next] = lane.waiting;
    if (next !== undefined) {
      this.#remove(lane, next);
      return next;
    }
    lane.running -= 1;
    if (lane.running === 0) this.#lanes.delete(name);
    return undefined;
  }

  /** It shall not start. @returns whether it was waiting */
  giveUp(task: Task): boolean {
    const lane = this.#lanes.get(task.name);
    return lane?.waiting.has(task) === true && this.#remove(lane, task);
  }

  #remove(lane: Lane<Task>, task: Task): true {
    lane.waiting.delete(task);
    this.#waiting -= 1;
    return true;
  }
}
