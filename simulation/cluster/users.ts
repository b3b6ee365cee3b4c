import type { Json } from '../../libs/core/task.ts';
import { USERS } from '../actions.ts';
import type { Safety } from '../safety.ts';
import { Thread } from '../thread.ts';
import { Wire } from '../wire.ts';
import type { World } from '../world.ts';
import { Pool } from './postgres.ts';
import type { Postgres } from './postgres.ts';

export interface TaskWish {
  readonly count: number;
  readonly delayMs: number;
  readonly payload: Json;
  /** Which of the serial keys, if any. */
  readonly line?: number | undefined;
}

/** People and programs that submit tasks and remove them, and remember what they were told. */
export class Users {
  readonly #thread: Thread;
  readonly wire: Wire;
  readonly #pool: Pool;
  readonly #safety: Safety;
  /** Submissions acknowledged, in order. */
  readonly #acknowledged: number[] = [];
  readonly #removing = new Set<number>();

  constructor(world: World, postgres: Postgres, safety: Safety) {
    this.#thread = new Thread(world, 0);
    this.#safety = safety;
    this.wire = new Wire(world, 'users postgres');
    this.#pool = new Pool({
      postgres,
      wire: this.wire,
      thread: this.#thread,
      process: USERS,
      applicationName: 'scheduler-api',
      timeoutMs: 5_000,
    });
    postgres.onRestart(() => this.cutDatabase());
  }

  /** The connections of the API to Postgres are reset. */
  cutDatabase(): void {
    this.#pool.cut();
  }

  /** Acknowledged and not asked to be removed: each must reach an end. */
  get expected(): number[] {
    return this.#acknowledged.filter((id) => !this.#removing.has(id));
  }

  /** @param databaseNowMs what `delayMs` counts from */
  submit({ count, delayMs, payload, line }: TaskWish, databaseNowMs: number): void {
    const scheduledAtMs = delayMs === 0 ? null : Math.floor(databaseNowMs + delayMs);
    const inLine = line === undefined ? { key: null } : { key: `line ${line}`, serial: true };
    const tasks = Array.from({ length: count }, () => ({ name: 'sim', ...inLine, payload, scheduledAtMs }));
    this.#pool.tasks.insert(tasks).then(
      (records) => this.#acknowledged.push(...records.map(({ id }) => id)),
      // 503: the user has been promised nothing.
      () => undefined,
    );
  }

  /** Asks for the removal of one of the latest submissions. */
  remove(nth: number): void {
    const id = this.#acknowledged.at(-1 - nth);
    if (id === undefined) return;
    this.#removing.add(id);
    this.#pool.tasks.remove(id).then(
      (result) => {
        if (result === 'removed') this.#safety.removalAcknowledged(id);
        if (result === 'cancelling') this.#safety.cancellationAcknowledged(id);
      },
      () => undefined,
    );
  }
}
