import type { Random } from '../libs/core/random.ts';
import type { World } from './world.ts';

export type Direction = 'TO_SERVER' | 'TO_CLIENT';

/** Most messages take less than a millisecond, a few a good deal longer. */
const LATENCY_MS = { base: 0.1, spread: 0.9, slowShare: 0.02, slowSpread: 20 };

interface Held {
  readonly stream: Stream;
  readonly direction: Direction;
  readonly arrive: () => void;
}

/** The network between one process and one server, and what is wrong with it at present. */
export class Wire {
  readonly #world: World;
  readonly #random: Random;
  readonly #holds = new Set<Direction>();
  #held: Held[] = [];
  /** Added to each message at random, up to so much, in milliseconds. */
  slownessMs = 0;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#random = world.random(`wire ${name}`);
  }

  get healthy(): boolean {
    return this.#holds.size === 0 && this.slownessMs === 0;
  }

  /** A connection: what it carries arrives in order, but may overtake what another one carries. */
  open(): Stream {
    return new Stream(this);
  }

  /** A black hole: nothing arrives any more, nobody is told. TCP keeps what was sent until {@link heal}. */
  hold(directions: readonly Direction[]): void {
    for (const direction of directions) this.#holds.add(direction);
  }

  heal(): void {
    this.slownessMs = 0;
    this.#holds.clear();
    const held = this.#held;
    this.#held = [];
    for (const { stream, direction, arrive } of held) this.carry(stream, direction, arrive);
  }

  carry(stream: Stream, direction: Direction, arrive: () => void): void {
    if (this.#holds.has(direction)) {
      this.#held.push({ stream, direction, arrive });
      return;
    }
    const { base, spread, slowShare, slowSpread } = LATENCY_MS;
    const slow = this.#random.next() < slowShare ? slowSpread : 0;
    const latencyMs = base + this.#random.next() * (spread + slow + this.slownessMs);
    const atMs = Math.max(this.#world.nowMs + latencyMs, stream.lastArrivalMs[direction]);
    stream.lastArrivalMs[direction] = atMs;
    this.#world.schedule(atMs - this.#world.nowMs, () => {
      // What is still on its way when the black hole opens falls into it.
      if (this.#holds.has(direction)) this.#held.push({ stream, direction, arrive });
      else arrive();
    });
  }
}

/** See {@link Wire.open}. */
export class Stream {
  readonly #wire: Wire;
  readonly lastArrivalMs: Record<Direction, number> = { TO_SERVER: 0, TO_CLIENT: 0 };

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  send(direction: Direction, arrive: () => void): void {
    this.#wire.carry(this, direction, arrive);
  }
}
