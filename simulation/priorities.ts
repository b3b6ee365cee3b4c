import type { Commit, TaskState } from './store/database.ts';

/** Whether what goes first is claimed first. */
export class Priorities {
  readonly #nowMs: () => number;
  readonly #count: (what: string) => void;
  /** Tasks with a priority, and since when they are as they are, by the monotonic clock. */
  readonly #urgentSince = new Map<number, number>();

  constructor(options: { readonly nowMs: () => number; readonly count: (what: string) => void }) {
    this.#nowMs = options.nowMs;
    this.#count = options.count;
  }

  /**
   * What is wrong about a claim: that it left behind what was due in its partition, and is of a higher priority than
   * something that it took. What was changed after the claim had begun it may not have seen.
   */
  judge(commit: Commit, tasks: ReadonlyMap<number, TaskState> | undefined): string | undefined {
    for (const { before, after } of commit.tasks) {
      if (after !== undefined && after.priority > 0) this.#urgentSince.set(after.id, this.#nowMs());
      else if (before !== undefined) this.#urgentSince.delete(before.id);
    }
    if (this.#urgentSince.size === 0 || tasks === undefined) return undefined;
    for (const { before, after } of commit.claimRecords) {
      if (before !== undefined || after === undefined) continue;
      const taken = after.taskIds.map((id) => tasks.get(id)?.priority ?? 9);
      if (Math.max(...taken) > 0) this.#count('claims of what goes first');
      for (const [id, sinceMs] of this.#urgentSince) {
        const task = tasks.get(id);
        const waits =
          task?.status === 'PENDING' &&
          !task.blocked &&
          task.dueAt <= commit.nowMs &&
          sinceMs < commit.beganMs;
        if (waits && task.partitionId === after.partitionId && task.priority > Math.min(...taken))
          return `task ${id} of priority ${task.priority} was due, and claim ${after.id} took others of partition ${after.partitionId} before it`;
      }
    }
    return undefined;
  }
}
