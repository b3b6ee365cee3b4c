/**
 * `POST /tasks/batch` as application/x-ndjson: tasks are stored while further lines arrive, and each line's outcome is
 * sent while others are stored.
 */
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Readable } from 'node:stream';
import type { Clock, Timer } from '../../libs/core/clock.ts';
import type { StoredTask, TaskOnce } from '../../libs/db/stores.ts';
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
  /** Called where the last outcome is on its way, and the body has not been read to its end. */
  readonly onCutShort: () => void;
}

/**
 * Stores the tasks of `body`, at most two chunks of it at a time: while the caller does not read the outcomes, nothing more is
 * read of him.
 *
 * @returns a line of JSON for each line: `{line, id, partitionId, scheduledTime}` or `{line, error}`, in order; and a last one
 *   `{error}` where no more lines were read. What has none may have been stored where the connection broke off.
 */
export function submissionStream(body: Readable, options: SubmissionStreamOptions): Readable {
  const stream = new SubmissionStream(body, options);
  void stream.pump();
  return stream.outcomes;
}

class SubmissionStream {
  readonly outcomes = new PassThrough();
  readonly #body: Readable;
  readonly #options: SubmissionStreamOptions;
  /** Aborted when no more lines are to be read, for the problem that is its reason. */
  readonly #cut = new AbortController();
  /** Aborted when nobody reads the outcomes any more. */
  readonly #gone = new AbortController();
  /** Whether there was more to be read. */
  #isCutShort = false;
  /** How many chunks are being stored: it is us who are waited for. */
  #storing = 0;
  #hasEnded = false;
  #patience: Timer;

  constructor(body: Readable, options: SubmissionStreamOptions) {
    this.#body = body;
    this.#options = options;
    this.outcomes.once('close', () => {
      this.#gone.abort();
      this.#cut.abort();
    });
    this.#patience = this.#startPatience();
  }

  /** Never rejects. */
  async pump(): Promise<void> {
    const { stopping, maxLineBytes } = this.#options;
    const stop = () => this.#cut.abort(new Problem('overloaded', { detail: 'The API is stopping.' }));
    stopping.addEventListener('abort', stop);
    let sent = Promise.resolve();
    try {
      if (stopping.aborted) stop();
      const limits = { maxBytes: maxLineBytes, isCutShort: () => this.#isCutShort };
      for await (const lines of readLines(this.#chunks(), limits)) {
        const stored = this.#store(lines);
        await sent;
        sent = stored.then((texts) => this.#send(texts));
        // Awaited with the next lines, or at the end.
        sent.catch(() => undefined);
      }
      await sent;
      if (this.#isCutShort) {
        const problem = this.#cut.signal.reason as Problem;
        await this.#send([toText({ error: problem.present() })]);
        this.#options.onCutShort();
      }
      this.outcomes.end();
    } catch (error) {
      // Broken off: nobody reads what is left to be said.
      this.outcomes.destroy(error as Error);
    } finally {
      this.#hasEnded = true;
      this.#patience.cancel();
      stopping.removeEventListener('abort', stop);
    }
  }

  /** What arrives, until no more is to be read. @throws where the connection breaks off */
  async *#chunks(): AsyncGenerator<Buffer> {
    // Destroyed, the body would take the connection with it, and with that the outcomes.
    const chunks = this.#body.iterator({ destroyOnReturn: false });
    for (;;) {
      const next = await unlessAborted(chunks.next() as Promise<IteratorResult<Buffer>>, this.#cut.signal);
      this.#isCutShort = next === undefined;
      if (next === undefined || next.done === true) return;
      this.#renewPatience();
      yield next.value;
    }
  }

  /** Never rejects. @returns the outcomes in order */
  async #store(lines: readonly Line[]): Promise<string[]> {
    const { writer } = this.#options;
    const toProblem = onceEach(this.#options.toProblem);
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
    this.#storing += 1;
    const outcomes = asked.length === 0 ? [] : await writer.separately(asked);
    this.#storing -= 1;
    this.#renewPatience();
    const stored = new Map<number, StoredTask>();
    for (const [index, { line }] of asked.entries()) {
      const outcome = outcomes[index];
      if (outcome instanceof Error || outcome === undefined) refused.set(line, toProblem(outcome));
      else stored.set(line, outcome);
    }
    return lines.map(({ number: line }) => {
      const task = stored.get(line);
      if (task !== undefined) return toText({ line, ...presentStoredTask(task) });
      return toText({ line, error: refused.get(line)?.present() });
    });
  }

  /** @throws where the caller has gone */
  async #send(texts: readonly string[]): Promise<void> {
    this.#gone.signal.throwIfAborted();
    if (!this.outcomes.write(texts.join('')))
      await once(this.outcomes, 'drain', { signal: this.#gone.signal });
    this.#renewPatience();
  }

  #renewPatience(): void {
    this.#patience.cancel();
    if (!this.#hasEnded) this.#patience = this.#startPatience();
  }

  #startPatience(): Timer {
    const { clock, idleMs } = this.#options;
    return clock.schedule(idleMs, () => {
      if (this.#storing > 0) return this.#renewPatience();
      const problem = new Problem('request-timeout', { detail: 'No further line has arrived in time.' });
      // One who does not read cannot be told.
      if (this.outcomes.writableNeedDrain) this.outcomes.destroy(problem);
      else this.#cut.abort(problem);
    });
  }
}

/**
 * What becomes of `promise`, or undefined where `signal` is aborted before. Unlike Promise.race, it leaves nothing with the signal,
 * which lives longer.
 */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** Many lines fail with one error: it is noted once. */
function onceEach(toProblem: (error: unknown) => Problem): (error: unknown) => Problem {
  const problems = new Map<unknown, Problem>();
  return (error) => {
    const problem = problems.get(error) ?? toProblem(error);
    problems.set(error, problem);
    return problem;
  };
}

function tooLong(): Problem {
  const detail = 'is larger than any task can be';
  return new Problem('payload-too-large', {
    detail: `The line ${detail}.`,
    errors: [{ pointer: '', detail }],
  });
}

const toText = (outcome: object): string => `${JSON.stringify(outcome)}\n`;
