import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../../libs/runtime/thread.ts';
import type { Held } from '../../../libs/db/stores.ts';
import type { Keeper, KeeperListener } from './keeper.ts';
import type { FromKeeper, KeeperData, ToKeeper } from './messages.ts';

/** The keeper as the main thread sees it: every call is a message to `keeper-thread.ts`, beats a shared counter. */
export class KeeperClient implements Keeper {
  readonly #thread: Worker;
  readonly #beats: Int32Array;
  #left: () => void = () => {};
  #finished: () => void = () => {};

  /** @param applicationName of this process' Postgres connections */
  constructor(listener: KeeperListener, applicationName: string) {
    const beats = new SharedArrayBuffer(4);
    this.#beats = new Int32Array(beats);
    this.#thread = startThread(new URL('./keeper-thread.ts', import.meta.url), {
      beats,
      applicationName,
    } satisfies KeeperData);
    this.#thread.on('message', (message: FromKeeper) => this.#receive(message, listener));
    this.#thread.on('error', (error) => listener.fatal(`keeper thread failed: ${String(error)}`));
  }

  beat(): void {
    Atomics.add(this.#beats, 0, 1);
  }

  fenceLost(parts: readonly Held[]): void {
    this.#send({ type: 'fenceLost', parts });
  }

  inUse(incarnations: readonly string[]): void {
    this.#send({ type: 'inUse', incarnations });
  }

  async leave(): Promise<void> {
    const left = new Promise<void>((resolve) => {
      this.#left = resolve;
    });
    this.#send({ type: 'leave' });
    await left;
  }

  async finish(): Promise<void> {
    const finished = new Promise<void>((resolve) => {
      this.#finished = resolve;
    });
    const exited = once(this.#thread, 'exit');
    this.#send({ type: 'finish' });
    await finished;
    await exited;
  }

  #send(message: ToKeeper): void {
    this.#thread.postMessage(message);
  }

  #receive(message: FromKeeper, listener: KeeperListener): void {
    switch (message.type) {
      case 'held':
        listener.held(message.held);
        break;
      case 'leaseRenewed':
        listener.leaseRenewed(message.unbroken);
        break;
      case 'fatal':
        listener.fatal(message.message);
        break;
      case 'left':
        this.#left();
        break;
      case 'finished':
        this.#finished();
        break;
    }
  }
}
