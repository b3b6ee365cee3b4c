import type { Mode } from '../../libs/cluster/records.ts';
import type { Logger } from '../../libs/runtime/logger.ts';
import { FlapDamping } from './flap-damping.ts';
import { LossWindow, uncleanLosses } from './losses.ts';
import { modeAt } from './decision.ts';
import type { Snapshot } from './snapshot.ts';

/** So many workers lost at once, and of so large a part of all, are no accident of their own. */
const MASS_LOSS = { workers: 5, share: 0.3 };
const MAINTENANCE_MS = 300_000;

export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** What is to be reckoned with besides the snapshot. */
export interface Precautions {
  /** The mode in force. */
  readonly mode: Mode;
  /** Whether `mode` is the controller's own and has yet to be written. */
  readonly modeChanged: boolean;
  /** Workers in quarantine, each with the wall time of its end. */
  readonly quarantined: ReadonlyMap<string, number>;
}

/**
 * Takes precautions when workers are lost (docs/adr/0007-lost-workers.md). Many at once: MAINTENANCE for five minutes,
 * so that partitions do not follow every turn of what is going on; an empty cluster leaves it, since whoever comes
 * first would be given everything. One again and again: quarantine. What it remembers are times; a new leader begins
 * with the quarantines that stand in the plan and no others, and is only the more trusting.
 */
export class Guard {
  readonly #logger: Logger;
  readonly #window = new LossWindow();
  readonly #damping = new FlapDamping();
  #inherited = false;
  /** The mode that is brought about and has yet to be seen. */
  #announced: Mode['mode'] | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param windowMs losses within it are at once: the session timeout, by which workers that die together differ */
  observe(snapshot: Snapshot, now: Moment, windowMs: number): Precautions {
    if (!this.#inherited) this.#inherit(snapshot, now);
    const losses = uncleanLosses(snapshot);
    for (const { id } of this.#window.observe(losses, now.monotonicMs, windowMs)) {
      if (!this.#damping.lost(id, now.monotonicMs)) continue;
      this.#logger.warn(`worker ${id} was lost too often: in quarantine, it gets no new partitions`);
    }
    const quarantined = this.#damping.quarantined(now.monotonicMs);
    const mode = this.#modeAfter(snapshot, now, windowMs);
    this.#announce(mode);
    return {
      mode: mode ?? modeAt(snapshot.mode, now.wallMs),
      modeChanged: mode !== undefined,
      quarantined: new Map([...quarantined].map(([id, restMs]) => [id, now.wallMs + restMs])),
    };
  }

  #inherit({ quarantined }: Snapshot, { monotonicMs, wallMs }: Moment): void {
    this.#inherited = true;
    for (const [id, untilMs] of quarantined) {
      if (untilMs > wallMs) this.#damping.quarantine(id, untilMs - wallMs, monotonicMs);
    }
  }

  /** Once, however often it takes to write it. */
  #announce(mode: Mode | undefined): void {
    const before = this.#announced;
    this.#announced = mode?.mode;
    if (mode === undefined || mode.mode === before) return;
    if (mode.mode === 'AUTO') this.#logger.info('no worker is left: the automatic MAINTENANCE is over');
    else this.#logger.warn(`MAINTENANCE for ${MAINTENANCE_MS / 1_000} s: ${mode.reason ?? ''}`);
  }

  /** The mode that the controller itself brings about, if any. */
  #modeAfter(
    { live, mode: { requiredTag, ...mode } }: Snapshot,
    now: Moment,
    windowMs: number,
  ): Mode | undefined {
    const kept = requiredTag === undefined ? {} : { requiredTag };
    const current = modeAt(mode, now.wallMs);
    // These losses have brought their MAINTENANCE: who resumes knows of them.
    if (current.automatic === true) this.#window.close(now.monotonicMs);
    if (live.size === 0) {
      this.#window.close(now.monotonicMs);
      if (current.mode !== 'MAINTENANCE' || current.automatic !== true) return undefined;
      return { mode: 'AUTO', ...kept };
    }
    const away = [...this.#window.recent(now.monotonicMs, windowMs)].filter((id) => !live.has(id));
    const all = live.size + away.length;
    const many = away.length >= MASS_LOSS.workers && away.length > MASS_LOSS.share * all;
    if (current.mode !== 'AUTO' || !many) return undefined;
    const reason = `${away.length} of ${all} workers were lost within ${windowMs} ms`;
    return { mode: 'MAINTENANCE', reason, untilMs: now.wallMs + MAINTENANCE_MS, automatic: true, ...kept };
  }
}
