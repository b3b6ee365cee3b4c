import { beforeEach, describe, expect, it } from 'vitest';
import { InvalidInputError, StoreUnavailableError } from '../../libs/db/stores.ts';
import type { AttemptEnd, ClaimRecord, Outcome, OutcomeResult } from '../../libs/db/stores.ts';
import { keptLog } from '../../libs/testing/kept-log.ts';
import { ManualClock, settle } from '../../libs/testing/manual-clock.ts';
import { seededRandom } from '../../libs/testing/seeded-random.ts';
import { Availability } from './availability.ts';
import { OutcomeWriter } from './outcome-writer.ts';
import type { RecordedOutcome } from './outcome-writer.ts';

const outcome = (id: number, end: AttemptEnd = { kind: 'COMPLETED' }): RecordedOutcome => ({
  ...{ id, attempt: 1, epoch: 1, incarnation: 'i', workerId: 'w', claimedAtMs: 1 },
  ...{ partition: 3, serial: false, record: 7, end },
});
const BAD: AttemptEnd = { kind: 'COMPLETED', result: '"\\u0000"' };
const REASON = `unsupported Unicode escape sequence${'!'.repeat(5_000)}`;

describe('what the writer sends', () => {
  let clock: ManualClock;
  let writer: OutcomeWriter;
  let log: ReturnType<typeof keptLog>;
  /** What was stored: how each ended, and the records that were settled with it. */
  let stored: { ends: [number, string][]; settled: number[] }[];
  let settled: [number, OutcomeResult][];
  let errors: unknown[];
  let refuses: (outcome: Outcome) => Error | undefined;
  beforeEach(() => {
    clock = new ManualClock();
    log = keptLog();
    stored = [];
    settled = [];
    errors = [];
    refuses = ({ end }) => (end === BAD ? new InvalidInputError(REASON) : undefined);
    const { logger } = log;
    const finish = (outcomes: readonly Outcome[], records: readonly ClaimRecord[]) => {
      const error = outcomes.map(refuses).find((refusal) => refusal !== undefined);
      if (error !== undefined) return Promise.reject(error);
      const ends = outcomes.map(({ id, end }): [number, string] => [id, end.kind]);
      stored.push({ ends, settled: records.map(({ record }) => record) });
      for (const { end } of outcomes) if ('error' in end) errors.push(end.error);
      return Promise.resolve(outcomes.map((): OutcomeResult => 'recorded'));
    };
    writer = new OutcomeWriter({
      ...{ store: { finish }, availability: new Availability({ clock, random: seededRandom(1), logger }) },
      ...{ logger, onSending: () => undefined, onSettled: ({ id }, result) => settled.push([id, result]) },
    });
  });

  function write(...outcomes: RecordedOutcome[]): void {
    for (const each of outcomes) writer.expect(each);
    for (const each of outcomes) writer.write(each);
  }

  it('is of at most 1,000 outcomes, and of some megabytes of what they say', async () => {
    const sent = () => stored.splice(0).map(({ ends }) => ends.length);
    write(...Array.from({ length: 2_001 }, (_, id) => outcome(id)));
    await writer.flushed();
    expect(sent()).toEqual([1_000, 1_000, 1]);
    const result = '9'.repeat(64_000);
    write(...Array.from({ length: 70 }, (_, id) => outcome(id, { kind: 'COMPLETED', result })));
    await writer.flushed();
    expect(sent()).toEqual([31, 31, 8]);
    const error = { name: 'Error', message: '!'.repeat(2_000), stack: '!'.repeat(48_000) };
    write(...Array.from({ length: 41 }, (_, id) => outcome(id, { kind: 'FAILED', error })));
    await writer.flushed();
    expect(sent()).toEqual([40, 1]);
  });

  describe('of an outcome that the database does not take', () => {
    it('has failed, saying why, and the others of its batch are stored as they are', async () => {
      write(outcome(1), outcome(2, BAD), outcome(3));
      expect(await writer.flushed()).toBe(true);
      expect(stored).toEqual([
        { ends: [[1, 'COMPLETED']], settled: [] },
        { ends: [[2, 'FAILED']], settled: [] },
        { ends: [[3, 'COMPLETED']], settled: [7] },
      ]);
      expect(errors).toEqual([
        {
          name: 'InvalidInputError',
          message: expect.stringMatching(
            /^how it ended cannot be stored: unsupported Unicode.{1,2000}$/,
          ) as string,
        },
      ]);
      expect((errors[0] as Error).message).toHaveLength(2_000);
      expect(settled).toEqual([1, 2, 3].map((id) => [id, 'recorded']));
      expect(log.said).toEqual(['Outcome cannot be stored: event failed']);
    });

    it('holds up none of those that end later', async () => {
      write(outcome(1, BAD));
      await writer.flushed();
      write(outcome(2), outcome(3));
      await writer.flushed();
      expect(stored.map(({ ends }) => ends.map(([id]) => id))).toEqual([[1], [2, 3]]);
    });

    it('is written when the database is back', async () => {
      let away = false;
      refuses = ({ end }) => {
        if (away) return new StoreUnavailableError('away');
        if (end !== BAD) return undefined;
        away = true;
        return new InvalidInputError(REASON);
      };
      write(outcome(1, BAD));
      await settle();
      expect(stored).toEqual([]);
      away = false;
      await clock.advance(1_000);
      expect(stored).toEqual([{ ends: [[1, 'FAILED']], settled: [7] }]);
    });

    it('is left to recovery where it is given up', async () => {
      refuses = ({ id, end }) =>
        id === 1 && end.kind === 'COMPLETED'
          ? new InvalidInputError(REASON)
          : new StoreUnavailableError('away');
      write(outcome(1), outcome(2));
      await settle();
      writer.giveUp();
      await clock.advance(1_000);
      expect(await writer.flushed()).toBe(false);
      expect([stored, settled]).toEqual([[], []]);
    });
  });
});
