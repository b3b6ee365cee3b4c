import { invariant } from '../../../libs/core/invariant.ts';
import type { TaskStatus } from '../../../libs/core/task.ts';
import type {
  AttemptRecord,
  CancelResult,
  NewTask,
  PatchResult,
  RemoveResult,
  RetryResult,
  RunResult,
  StoredTask,
  TaskChange,
  TaskOnce,
  TaskRecord,
  TaskStore,
} from '../../../libs/db/stores.ts';
import { InvalidInputError } from '../../../libs/db/stores.ts';
import { AS_NEW } from '../../../libs/testing/as-new.ts';

/**
 * The store port in memory, for what a test cannot ask of a real database: to commit exactly when told to, to be
 * away, to refuse a task by its name. What it stores goes through JSON text, as it would there.
 */
export class MemoryTaskStore implements TaskStore {
  readonly tasks = new Map<number, TaskRecord>();
  /** Names in each insert that was called, in order. */
  readonly inserts: string[][] = [];
  /** While set, every call rejects with it. */
  fault: Error | undefined;
  /** A task of this name is refused, and its whole insert with it. */
  poison: string | undefined;
  #hold: Promise<void> | undefined;
  #lastId = 0;
  /** Of a request of one task. */
  readonly #once = new Map<string, { readonly fingerprint: string; readonly record: StoredTask }>();

  /** From now on inserts do not commit before the function returned is called. */
  holdCommits(): () => void {
    let release = (): void => undefined;
    this.#hold = new Promise((resolve) => (release = resolve));
    return () => {
      this.#hold = undefined;
      release();
    };
  }

  async insert(tasks: readonly NewTask[]): Promise<StoredTask[]> {
    this.inserts.push(tasks.map(({ name }) => name));
    await this.#hold;
    this.#failIfFaulty();
    if (tasks.some(({ name }) => name === this.poison)) throw new InvalidInputError('refused');
    return tasks.map((task) => this.#store(task));
  }

  async insertOnce(asked: readonly TaskOnce[]): Promise<(StoredTask | 'reused')[]> {
    this.inserts.push(asked.map(({ task }) => task.name));
    await this.#hold;
    this.#failIfFaulty();
    const before = new Map(this.#once);
    return asked.map(({ task, once }) => {
      const earlier = once === null ? undefined : before.get(once.key);
      if (earlier !== undefined) return earlier.fingerprint === once?.fingerprint ? earlier.record : 'reused';
      const record = this.#store(task);
      if (once !== null) this.#once.set(once.key, { fingerprint: once.fingerprint, record });
      return record;
    });
  }

  async get(id: number): Promise<TaskRecord | null> {
    await this.ping();
    return this.tasks.get(id) ?? null;
  }

  async attempts(id: number): Promise<AttemptRecord[] | null> {
    await this.ping();
    return this.tasks.has(id) ? [] : null;
  }

  async remove(id: number): Promise<RemoveResult> {
    await this.ping();
    const task = this.tasks.get(id);
    if (task === undefined) return 'unknown';
    if (task.status === 'RUNNING') return 'cancelling';
    this.tasks.delete(id);
    return 'removed';
  }

  async cancel(id: number): Promise<CancelResult> {
    await this.ping();
    const task = this.tasks.get(id);
    if (task === undefined) return 'unknown';
    if (task.status === 'RUNNING') return 'cancelling';
    if (task.status === 'COMPLETED' || task.status === 'FAILED') return 'ended';
    this.change(id, { status: 'CANCELLED' });
    return 'cancelled';
  }

  async retry(id: number): Promise<RetryResult> {
    await this.ping();
    const state = this.#state(id, 'waiting');
    if (state !== 'failed' && state !== 'cancelled') return state;
    this.change(id, { status: 'PENDING', failures: 0 });
    return 'retried';
  }

  async run(id: number): Promise<RunResult> {
    await this.ping();
    return this.#state(id, 'due');
  }

  async patch(id: number, { payload }: TaskChange, versions?: readonly string[]): Promise<PatchResult> {
    await this.ping();
    const state = this.#state(id, 'patched');
    const { revision = 0, attempt = 0 } = this.tasks.get(id) ?? {};
    if (state !== 'patched') return state;
    if (versions?.includes(`${revision}.${attempt}`) === false) return 'changed';
    this.change(id, { ...(payload !== undefined && { payload }), revision: revision + 1 });
    return 'patched';
  }

  #state<Waiting extends string>(id: number, waiting: Waiting) {
    const status = this.tasks.get(id)?.status;
    if (status === undefined) return 'unknown';
    return status === 'PENDING'
      ? waiting
      : (status.toLowerCase() as Lowercase<Exclude<TaskStatus, 'PENDING'>>);
  }

  async cluster() {
    await this.ping();
    return {
      partitions: [
        { id: 0, owner: 'worker-1', epoch: 3 },
        { id: 1, owner: null, epoch: 0 },
      ],
      workers: [{ id: 'worker-1', alive: true, partitions: [0], leaseExpiresAtMs: 4_000 }],
    };
  }

  async readMeta() {
    await this.ping();
    return { uid: 'a-cluster', partitions: 2 };
  }

  ping(): Promise<void> {
    return Promise.resolve().then(() => this.#failIfFaulty());
  }

  /** Replaces what is stored of a task, as its worker would. */
  change(id: number, change: Partial<TaskRecord>): void {
    const task = this.tasks.get(id);
    invariant(task !== undefined, 'the task is stored');
    this.tasks.set(id, { ...task, ...change });
  }

  #failIfFaulty(): void {
    if (this.fault !== undefined) throw this.fault;
  }

  #store(task: NewTask): TaskRecord {
    this.#lastId += 1;
    const payload = JSON.parse(JSON.stringify(task.payload)) as TaskRecord['payload'];
    const { name, key, policy = null, priority = 0, tags = null, serial = false } = task;
    const createdAtMs = 1_000;
    const record: TaskRecord = {
      ...AS_NEW,
      ...{
        id: this.#lastId,
        partitionId: this.#lastId % 2,
        name,
        key,
        payload,
        policy,
        priority,
        tags,
        serial,
      },
      ...{ createdAtMs, scheduledAtMs: task.scheduledAtMs ?? createdAtMs + (task.delayMs ?? 0) },
    };
    this.tasks.set(record.id, record);
    return record;
  }
}
