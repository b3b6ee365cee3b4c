import type { ClaimedTask } from '../../libs/db/stores.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import type { HandlerContext } from './handlers/handler.ts';

/** What a handler is given of its attempt. */
export class AttemptContext implements HandlerContext {
  readonly id: number;
  readonly name: string;
  readonly partition: number;
  readonly attempt: number;
  readonly fencingToken: HandlerContext['fencingToken'];
  readonly idempotencyKey: string;
  readonly #abort: AbortController;
  readonly #workerLogger: Logger;
  #logger: Logger | undefined;

  constructor(
    { id, name, partition, attempt, epoch }: ClaimedTask,
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
    this.#workerLogger = workerLogger;
  }

  /** Made when it is asked for, as the logger is: most handlers look at neither. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get logger(): Logger {
    const { id: taskId, name: taskName, partition, attempt } = this;
    return (this.#logger ??= this.#workerLogger.child({ taskId, taskName, partition, attempt }));
  }
}
