import type { Random } from '../libs/core/random.ts';
import type { World } from './world.ts';

export type Direction = 'TO_SERVER' | 'TO_CLIENT';

/** Most messages take less than a millisecond, a few a good deal longer. */
const LATENCY_MS = { base: 0.1, spread: 0.9, slowShare: 0.02, slowSpread: 20 };

/** What was sent at one instant over one connection: it arrives in one piece. */
interface Packet {
  readonly stream: Stream;
  readonly direction: Direction;
  readonly sentAtMs: number;
  readonly messages: (() => void)[];
  arrived: boolean;
}

/** The network between one process and one server, and what is wrong with it at present. */
export class Wire {
  readonly #world: World;
  readonly #random: Random;
  readonly #holds = new Set<Direction>();
  #held: Packet[] = [];
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
    for (const packet of held) this.#carry(packet);
  }

  /** @param alone in a packet of its own, after which every promise settles before the next arrives */
  send(stream: Stream, direction: Direction, arrive: () => void, alone: boolean): void {
    const sentAtMs = this.#world.nowMs;
    const last = stream.last[direction];
    if (last !== undefined && !alone && !last.arrived && last.sentAtMs === sentAtMs) {
      last.messages.push(arrive);
      return;
    }
    const packet: Packet = { stream, direction, sentAtMs, messages: [arrive], arrived: false };
    stream.last[direction] = alone ? undefined : packet;
    this.#carry(packet);
  }

  #carry(packet: Packet): void {
    const { stream, direction } = packet;
    if (this.#holds.has(direction)) {
      this.#held.push(packet);
      return;
    }
    const { base, spread, slowShare, slowSpread } = LATENCY_MS;
    const slow = this.#random.next() < slowShare ? slowSpread : 0;
    const latencyMs = base + this.#random.next() * (spread + slow + this.slownessMs);
    const atMs = Math.max(this.#world.nowMs + latencyMs, stream.lastArrivalMs[direction]);
    stream.lastArrivalMs[direction] = atMs;
    this.#world.schedule(atMs - this.#world.nowMs, () => {
      // What is still on its way when the black hole opens falls into it.
      if (this.#holds.has(direction)) {
        this.#held.push(packet);
        return;
      }
      packet.arrived = true;
      for (const arrive of packet.messages) arrive();
    });
  }
}

/** See {@link Wire.open}. */
export class Stream {
  readonly #wire: Wire;
  readonly last: Partial<Record<Direction, Packet | undefined>> = {};
  readonly lastArrivalMs: Record<Direction, number> = { TO_SERVER: 0, TO_CLIENT: 0 };

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  send(direction: Direction, arrive: () => void, { alone = false } = {}): void {
    this.#wire.send(this, direction, arrive, alone);
  }
}
