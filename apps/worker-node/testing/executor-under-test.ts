import type { Json, TaskId } from '../../../libs/core/task.ts';
import type { ClaimedTask, ExecutionStore, Outcome, OutcomeResult } from '../../../libs/db/stores.ts';
import { keptLog } from '../../../libs/testing/kept-log.ts';
import { ManualClock } from '../../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../../libs/testing/seeded-random.ts';
import { Availability } from '../availability.ts';
import { Executor } from '../executor.ts';
import type { Handler } from '../handlers/handler.ts';

/** A claimed task of partition 3, whose payload came with it. */
export function claimed(id: TaskId, more: Partial<ClaimedTask> = {}): ClaimedTask {
  return {
    ...{ id, name: 'x', partition: 3, epoch: 1, incarnation: 'i', record: id, attempt: 1, failures: 0 },
    ...{ policy: null, priority: 0, serial: false, scheduledAtMs: 1, dueAtMs: 1, claimedAtMs: 1 },
    ...{ payload: null, ...more },
  };
}

/** The same without its payload. */
export function claimedApart(id: TaskId, more: Partial<ClaimedTask> = {}): ClaimedTask {
  const { payload: _, ...task } = claimed(id, more);
  return task;
}

/** An executor without a database, whose time stands still until it is moved. */
export class ExecutorUnderTest {
  readonly clock = new ManualClock();
  readonly log = keptLog();
  readonly executor: Executor;
  /** `id/attempt kind`, as they were recorded. */
  readonly outcomes: string[] = [];
  /** What was recorded, or was refused. */
  result: OutcomeResult = 'recorded';
  /** Outcomes are answered for after it. */
  recording: Promise<void> = Promise.resolve();
  readPayloads: (ids: TaskId[]) => Promise<Map<TaskId, Json>> = () =>
    Promise.resolve(new Map<TaskId, Json>());
  /** The partitions that are this worker's. */
  held: readonly number[] = [3];
  /** How many places were free each time that was said. */
  readonly freed: number[] = [];
  /** How often more of a name could be claimed again. */
  nameFree = 0;

  constructor(handlerFor: (name: string) => Handler) {
    const { clock } = this;
    const { logger } = this.log;
    const random = seededRandom(1);
    const store: Pick<ExecutionStore, 'finish' | 'payloads'> = {
      finish: async (outcomes) => {
        await this.recording;
        return outcomes.map((outcome) => this.#finish(outcome));
      },
      payloads: (attempts) => this.readPayloads(attempts.map(({ id }) => id)),
    };
    this.executor = new Executor({
      store: store as ExecutionStore,
      availability: new Availability({ clock, random, logger }),
      ...{ handlerFor, handledNames: undefined, workerId: 'w', capacity: 10, clock, random, logger },
      holds: ({ partition }) => this.held.includes(partition),
      onFree: () => this.freed.push(this.executor.free),
      onNameFree: () => (this.nameFree += 1),
      onTurnOver: () => undefined,
    });
  }

  #finish({ id, attempt, end }: Outcome): OutcomeResult {
    this.outcomes.push(`${id}/${attempt} ${end.kind}`);
    return this.result;
  }
}
