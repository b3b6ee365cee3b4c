import type { Clock, Timer } from '../libs/core/clock.ts';
import type { World } from './world.ts';

/** Wall time at the beginning of the world. */
export const EPOCH_MS = 1_700_000_000_000;

class Waiting {
  readonly kind: 'timer' | 'message';
  readonly happen: () => void;
  /** Of a timer: what brings it about. */
  event: Timer | undefined;
  cancelled = false;

  constructor(kind: Waiting['kind'], happen: () => void) {
    this.kind = kind;
    this.happen = happen;
  }

  cancel(): void {
    this.cancelled = true;
    this.event?.cancel();
  }
}

/**
 * A thread of a process: whatever happens to its code happens through it, its timers included.
 *
 * ```
 * RUNNING ⇄ PAUSED        what happens meanwhile waits, as in the kernel's buffers and the timers' heap
 *    └──────┴──▶ DEAD     nothing happens any more
 * ```
 */
export class Thread {
  readonly #world: World;
  #state: 'RUNNING' | 'PAUSED' | 'DEAD' = 'RUNNING';
  #waiting: Waiting[] = [];
  #wallOffsetMs: number;
  readonly clock: Clock;

  constructor(world: World, wallOffsetMs: number) {
    this.#world = world;
    this.#wallOffsetMs = wallOffsetMs;
    this.clock = {
      wallMs: () => Math.floor(EPOCH_MS + world.nowMs + this.#wallOffsetMs),
      monotonicMs: () => world.nowMs,
      schedule: (delayMs, callback) => this.#schedule(delayMs, callback),
    };
  }

  get running(): boolean {
    return this.#state === 'RUNNING';
  }

  get dead(): boolean {
    return this.#state === 'DEAD';
  }

  /** A message arrives: a reply, an event, a word from the process' other thread. In order. */
  deliver(happen: () => void): void {
    if (this.#state === 'RUNNING') happen();
    else this.#do(new Waiting('message', happen));
  }

  pause(): void {
    if (this.#state === 'RUNNING') this.#state = 'PAUSED';
  }

  /** Goes on with the timers that came due, or with the messages that came: an event loop may do either first. */
  resume(first: Waiting['kind']): void {
    if (this.#state !== 'PAUSED') return;
    this.#state = 'RUNNING';
    const waiting = this.#waiting;
    this.#waiting = [];
    const last = first === 'timer' ? 'message' : 'timer';
    for (const kind of [first, last]) {
      // Each an event of its own, so that promises settle in between.
      for (const each of waiting) if (each.kind === kind) this.#world.schedule(0, () => this.#do(each));
    }
  }

  kill(): void {
    this.#state = 'DEAD';
    this.#waiting = [];
  }

  /** Somebody sets the wall clock. */
  stepWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  #schedule(delayMs: number, callback: () => void): Timer {
    const timer = new Waiting('timer', callback);
    timer.event = this.#world.schedule(delayMs, () => this.#do(timer));
    return timer;
  }

  #do(each: Waiting): void {
    if (each.cancelled) return;
    if (this.#state === 'RUNNING') each.happen();
    else if (this.#state === 'PAUSED') this.#waiting.push(each);
  }
}
