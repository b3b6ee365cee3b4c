import type { Clock } from '../../libs/core/clock.ts';
import { Beside } from './beside.ts';

/** The safety net: partitions are looked at this often, whatever was notified. */
const POLL_MS = 1_000;
const LISTENING_POLL_MS = 2_000;
/** From the beginning now and then. */
const EVERYTHING_MS = 5_000;
/**
 * Of all the time, at most, that looks of either kind may take (those from the beginning the first, where they are wanted), but for the
 * longest rest below: much may lie there that has ended and
 * that no vacuum can remove while somebody holds a transaction open.
 */
const SHARE = 0.2;
const EVERYTHING_SHARE = 0.05;
/** However long one has taken, which may be the network's doing: what the one reads ahead must not run out before the next. */
const MAX_REST_MS = 5_000;
const MAX_REST_OF_EVERYTHING_MS = 300_000;

export type LookFrom = 'RECENTLY' | 'BEGINNING';

/**
 * When to look at partitions once more, for what lies before the positions of claims: back as far as a transaction may
 * have taken to commit what was due when it began, and now and then through everything. Looks are made beside the claims,
 * which none of them holds up however long it takes; one of each kind at a time.
 */
export class LookBack {
  readonly #look: (from: LookFrom) => Promise<void>;
  readonly #clock: Clock;
  /** All by the monotonic clock. */
  #beganAtMs = -Infinity;
  #restMs = 0;
  #everythingAtMs = -Infinity;
  readonly #looks: Readonly<Record<LookFrom, Beside>>;
  #wanted = false;
  #wantedNotBeforeMs = -Infinity;
  /** Whether notifications reach us. */
  listening = false;

  /**
   * @param options.look makes one
   * @param options.onEnd called when one has ended
   */
  constructor(options: {
    readonly look: (from: LookFrom) => Promise<void>;
    readonly clock: Clock;
    readonly onEnd: () => void;
  }) {
    this.#look = options.look;
    this.#clock = options.clock;
    this.#looks = { RECENTLY: new Beside(options.onEnd), BEGINNING: new Beside(options.onEnd) };
  }

  /** Something may lie anywhere: to be looked for from the beginning as soon as one that is under way has ended, and it has rested. */
  want(): void {
    this.#wanted = true;
  }

  /** How long until the next one begins, in ms; Infinity where one has to end before. */
  untilMs(): number {
    if (this.#looks.RECENTLY.underWay) return Infinity;
    const everyMs = Math.max(this.listening ? LISTENING_POLL_MS : POLL_MS, this.#restMs);
    const wantedAtMs = this.#wanted && !this.#looks.BEGINNING.underWay ? this.#wantedNotBeforeMs : Infinity;
    return Math.max(0, Math.min(this.#beganAtMs + everyMs, wantedAtMs) - this.#clock.monotonicMs());
  }

  /** Begins a look where it is time for one. @throws what an earlier one failed with that is not the database being away */
  poll(): void {
    for (const look of Object.values(this.#looks)) look.check();
    if (this.untilMs() > 0) return;
    const nowMs = this.#clock.monotonicMs();
    const everything = (this.#wanted && nowMs >= this.#wantedNotBeforeMs) || nowMs >= this.#everythingAtMs;
    const from = everything && !this.#looks.BEGINNING.underWay ? 'BEGINNING' : 'RECENTLY';
    if (from === 'BEGINNING') this.#wanted = false;
    this.#looks[from].begin(() => this.#run(from));
  }

  /** Resolves when none is under way. */
  async ended(): Promise<void> {
    await Promise.all(Object.values(this.#looks).map((look) => look.ended()));
  }

  async #run(from: LookFrom): Promise<void> {
    const beganAtMs = this.#clock.monotonicMs();
    this.#beganAtMs = beganAtMs;
    try {
      await this.#look(from);
    } finally {
      const nowMs = this.#clock.monotonicMs();
      const tookMs = nowMs - beganAtMs;
      if (from === 'RECENTLY') this.#restMs = Math.min(tookMs / SHARE, MAX_REST_MS);
      // Where a statement's timeout has cut it off, too.
      else {
        this.#everythingAtMs =
          nowMs + Math.min(Math.max(EVERYTHING_MS, tookMs / EVERYTHING_SHARE), MAX_REST_OF_EVERYTHING_MS);
        this.#wantedNotBeforeMs = nowMs + Math.min(tookMs * (1 / SHARE - 1), MAX_REST_MS);
      }
    }
  }
}
