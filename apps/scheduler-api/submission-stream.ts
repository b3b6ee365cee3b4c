/**
 * `POST /tasks/batch` as application/x-ndjson: tasks are stored while further lines arrive, and each line's outcome is
 * sent while others are stored.
 */
import { PassThrough } from 'node:stream';
import type { Readable } from 'node:stream';
import { once } from 'node:events';
import type { Clock, Timer } from '../../libs/core/clock.ts';
import type { TaskOnce, TaskRecord } from '../../libs/db/stores.ts';
import type { BulkWriter } from './bulk-writer.ts';
import { parseJsonBody } from './json-body.ts';
import { readLines } from './lines.ts';
import type { Line } from './lines.ts';
import { Problem } from './problem.ts';
import { presentStoredTask } from './schemas.ts';
import { readSubmission } from './submission.ts';

export interface SubmissionStreamOptions {
  readonly writer: BulkWriter;
  readonly clock: Clock;
  /** Of a line, at most. */
  readonly maxLineBytes: number;
  /** How long the caller may neither send nor read. */
  readonly idleMs: number;
  /** Aborted when no more lines are to be read. */
  readonly stopping: AbortSignal;
  /** What a fault is answered with. */
  readonly toProblem: (error: unknown) => Problem;
}

/**
 * Each line but the last is either of these; a last one without a number says why no more lines were read. What has no outcome
 * may have been stored where the connection broke off.
 */
type Outcome =
  | { line: number; id: number; partitionId: number; scheduledTime: string }
  | { line?: number; error: unknown };

/**
 * Stores the tasks of `body`, at most two chunks of it at a time: while the caller does not read the outcomes, nothing more is
 * read of him.
 * @returns the outcomes, line by line; ends with the body
 */
export function submissionStream(body: Readable, options: SubmissionStreamOptions): Readable {
  const outcomes = new PassThrough();
  const patience = new Patience(options.clock, options.idleMs, () => {
    // Whoever waits for the other side is told; one who does not read cannot be.
    const error = new Problem('request-timeout', { detail: 'No further line has arrived in time.' });
    if (outcomes.writableNeedDrain) outcomes.destroy(error);
    else body.destroy(error);
  });
  const stop = () => body.destroy(new Problem('overloaded', { detail: 'The API is stopping.' }));
  options.stopping.addEventListener('abort', stop, { once: true });
  outcomes.once('close', () => body.destroy());
  void pump(body, outcomes, patience, options).finally(() => {
    patience.end();
    options.stopping.removeEventListener('abort', stop);
  });
  return outcomes;
}

/** Never rejects. */
async function pump(
  body: Readable,
  outcomes: PassThrough,
  patience: Patience,
  options: SubmissionStreamOptions,
): Promise<void> {
  let sent = Promise.resolve();
  try {
    try {
      for await (const lines of readLines(body as AsyncIterable<Buffer>, options.maxLineBytes)) {
        patience.renew();
        const stored = store(lines, options);
        await sent;
        sent = stored.then((texts) => send(outcomes, texts)).then(() => patience.renew());
        // Awaited with the next chunk, or at the end.
        sent.catch(() => undefined);
      }
      await sent;
    } catch (error) {
      await sent;
      if (!(error instanceof Problem)) throw error;
      await send(outcomes, [toText({ error: error.present() })]);
    }
    outcomes.end();
  } catch (error) {
    // Broken off: nobody reads what is left to be said.
    outcomes.destroy(error as Error);
  }
}

/** Never rejects. @returns the outcomes in order */
async function store(
  lines: readonly Line[],
  { writer, toProblem }: SubmissionStreamOptions,
): Promise<string[]> {
  const refused = new Map<number, Problem>();
  const asked: (TaskOnce & { readonly line: number })[] = [];
  for (const { number, text } of lines) {
    try {
      if (text === null) throw tooLong();
      asked.push({ line: number, once: null, task: readSubmission(parseJsonBody(text)).task });
    } catch (error) {
      refused.set(number, toProblem(error));
    }
  }
  const records = asked.length === 0 ? [] : await writer.separately(asked);
  const stored = new Map<number, TaskRecord | Error>(
    asked.map(({ line }, index) => [line, records[index] as TaskRecord | Error]),
  );
  return lines.map(({ number: line }) => {
    const record = stored.get(line);
    if (record !== undefined && !(record instanceof Error))
      return toText({ line, ...presentStoredTask(record) });
    const problem = refused.get(line) ?? toProblem(record);
    return toText({ line, error: problem.present() });
  });
}

const tooLong = () => {
  const detail = 'is larger than any task can be';
  return new Problem('payload-too-large', {
    detail: `The line ${detail}.`,
    errors: [{ pointer: '', detail }],
  });
};

const toText = (outcome: Outcome): string => `${JSON.stringify(outcome)}\n`;

/** @throws where the caller has gone */
async function send(outcomes: PassThrough, texts: readonly string[]): Promise<void> {
  if (outcomes.destroyed) throw outcomes.errored ?? new Error('the caller has gone');
  if (!outcomes.write(texts.join(''))) await once(outcomes, 'drain', { signal: gone(outcomes) });
}

function gone(outcomes: PassThrough): AbortSignal {
  const controller = new AbortController();
  outcomes.once('close', () => controller.abort());
  return controller.signal;
}

/** Runs out where it is not renewed in time. */
class Patience {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onOver: () => void;
  #timer: Timer;

  constructor(clock: Clock, ms: number, onOver: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onOver = onOver;
    this.#timer = clock.schedule(ms, onOver);
  }

  renew(): void {
    this.#timer.cancel();
    this.#timer = this.#clock.schedule(this.#ms, this.#onOver);
  }

  end(): void {
    this.#timer.cancel();
  }
}
