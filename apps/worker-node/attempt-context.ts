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
  readonly signal: AbortSignal;
  readonly #workerLogger: Logger;
  #logger: Logger | undefined;

  constructor(
    { id, name, partition, attempt, epoch }: ClaimedTask,
    signal: AbortSignal,
    workerLogger: Logger,
  ) {
    this.id = id;
    this.name = name;
    this.partition = partition;
    this.attempt = attempt;
    this.fencingToken = { epoch, attempt };
    this.idempotencyKey = `task-${id}`;
    this.signal = signal;
    this.#workerLogger = workerLogger;
  }

  /** Made when it is asked for: most handlers say nothing. */
  get logger(): Logger {
    const { id: taskId, name: taskName, partition, attempt } = this;
    return (this.#logger ??= this.#workerLogger.child({ taskId, taskName, partition, attempt }));
  }
}
