import type { Timer } from '../libs/core/clock.ts';
import type { Random } from '../libs/core/random.ts';
import { seededRandom } from '../libs/testing/seeded-random.ts';

class Event implements Timer {
  readonly atMs: number;
  /** Events of one instant happen in the order in which they were scheduled. */
  readonly order: number;
  readonly happen: () => void;
  cancelled = false;

  constructor(atMs: number, order: number, happen: () => void) {
    this.atMs = atMs;
    this.order = order;
    this.happen = happen;
  }

  cancel(): void {
    this.cancelled = true;
  }
}

/**
 * Virtual time and everything that is to happen in it. One event happens at a time, and every promise that can
 * settle settles before the next: with randomness from one seed a run is the same each time.
 */
export class World {
  readonly seed: number;
  #nowMs = 0;
  #order = 0;
  readonly #queue = new EventQueue();
  readonly #streams = new Map<string, Random>();
  /** How often what {@link count} was told of has happened. */
  readonly counts = new Map<string, number>();

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  schedule(delayMs: number, happen: () => void): Timer {
    const event = new Event(this.#nowMs + Math.max(0, delayMs), this.#order++, happen);
    this.#queue.push(event);
    return event;
  }

  /**
   * A stream of randomness of its own for each name, so that what one part draws does not change what another
   * does: a schedule with one fault left out stays as like the first as can be.
   */
  random(name: string): Random {
    let stream = this.#streams.get(name);
    if (stream === undefined) this.#streams.set(name, (stream = seededRandom(hash(`${this.seed}/${name}`))));
    return stream;
  }

  /** Notes that something has happened: a fault that was drawn need not have met anything. */
  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Lets `durationMs` pass. `afterEach` looks at the world after each event; what it throws ends the run. */
  async run(durationMs: number, afterEach: () => void): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    for (
      let event = this.#queue.peek();
      event !== undefined && event.atMs <= untilMs;
      event = this.#queue.peek()
    ) {
      this.#queue.pop();
      if (event.cancelled) continue;
      this.#nowMs = event.atMs;
      event.happen();
      await settled();
      afterEach();
    }
    this.#nowMs = untilMs;
  }
}

/** Resolves when no promise that can settle is left: the queue of microtasks is empty before the next macrotask. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** FNV-1a, 32 bits (Fowler, Noll, Vo). */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** A binary heap: the earliest first. */
class EventQueue {
  readonly #heap: Event[] = [];

  peek(): Event | undefined {
    return this.#heap[0];
  }

  push(event: Event): void {
    const heap = this.#heap;
    let child = heap.push(event) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#swapIfLater(parent, child)) break;
      child = parent;
    }
  }

  pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let parent = 0; ;) {
      const left = 2 * parent + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const child = right < heap.length && this.#isLater(left, right) ? right : left;
      if (!this.#swapIfLater(parent, child)) return;
      parent = child;
    }
  }

  #isLater(a: number, b: number): boolean {
    const left = this.#heap[a];
    const right = this.#heap[b];
    if (left === undefined || right === undefined) return false;
    return left.atMs > right.atMs || (left.atMs === right.atMs && left.order > right.order);
  }

  #swapIfLater(parent: number, child: number): boolean {
    if (!this.#isLater(parent, child)) return false;
    const heap = this.#heap;
    const moved = heap[parent];
    const other = heap[child];
    if (moved === undefined || other === undefined) return false;
    heap[parent] = other;
    heap[child] = moved;
    return true;
  }
}
