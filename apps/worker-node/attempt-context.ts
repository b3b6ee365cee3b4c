import type { Json } from '../../libs/core/task.ts';
import type { ClaimedTask } from '../../libs/db/stores.ts';
import type { HandledTask, HandlerContext } from '../../libs/handlers/index.ts';
import type { Logger } from '../../libs/runtime/logger.ts';

/** What a handler is given of its attempt. */
export class AttemptContext implements HandlerContext {
  readonly id: number;
  readonly name: string;
  readonly partition: number;
  readonly attempt: number;
  readonly fencingToken: HandlerContext['fencingToken'];
  readonly idempotencyKey: string;
  readonly #abort: AbortController;
  readonly #scheduledAtMs: number;
  readonly #workerLogger: Logger;
  #logger: Logger | undefined;

  constructor(
    { id, name, partition, attempt, epoch, scheduledAtMs }: ClaimedTask,
    abort: AbortController,
    workerLogger: Logger,
  ) {
    this.id = id;
    this.name = name;
    this.partition = partition;
    this.attempt = attempt;
    this.fencingToken = { epoch, attempt };
    this.idempotencyKey = `task-${id}`;
    this.#abort = abort;
    this.#scheduledAtMs = scheduledAtMs;
    this.#workerLogger = workerLogger;
  }

  /** Made when it is asked for, as the log is: most handlers look at neither. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get log(): Logger {
    const { id: taskId, name: taskName, partition, attempt } = this;
    return (this.#logger ??= this.#workerLogger.child({ taskId, taskName, partition, attempt }));
  }

  task(payload: Json): HandledTask<Json> {
    return { id: this.id, name: this.name, payload, scheduledTime: new Date(this.#scheduledAtMs) };
  }
}
