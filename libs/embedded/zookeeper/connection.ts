import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../core/clock.ts';
import { FrameReader, PacketTooLarge } from './frame-reader.ts';

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly clock: Clock;
  /** Called with one whole packet at a time. */
  readonly onPacket: (packet: Buffer, connection: Connection) => void;
  /** An answer to four bytes that are no length, if there is one. Asked before the first packet only. */
  readonly answerWord: (word: string) => string | undefined;
  readonly onClose: (connection: Connection) => void;
}

/**
 * One client's socket: packets in, packets out in the order sent.
 *
 * ```
 * OPEN ⇄ HELD     hold, release: a held connection neither reads nor writes, and its client cannot tell why
 *   │      │
 *   └▶ CLOSED ◀┘  finish: after what was sent before; destroy: at once; or by the client
 * ```
 * A client that does not read its replies is not read from either, so what waits for it stays bounded.
 */
export class Connection {
  /** Once the handshake is done. */
  sessionId: bigint | undefined;
  /** Set by the fault controls: how long what is sent from now on waits first. */
  delayMs = 0;
  /** On the monotonic clock. */
  readonly openedMs: number;

  private readonly options: ConnectionOptions;
  private readonly reader = new FrameReader();
  private readonly outbox: { readonly packet: Buffer | 'finish'; readonly dueMs: number }[] = [];
  private timer: Timer | undefined;
  private held = false;
  private greeted = false;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.openedMs = options.clock.monotonicMs();
    const { socket } = options;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.reader.push(chunk);
      this.readPackets();
    });
    socket.on('drain', () => this.resume());
    // A reset is an end like any other: 'close' follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.timer?.cancel();
      options.onClose(this);
    });
  }

  send(packet: Buffer): void {
    this.enqueue(packet);
  }

  /** Closes the connection once what was sent has gone out. */
  finish(): void {
    this.enqueue('finish');
  }

  destroy(): void {
    this.options.socket.destroy();
  }

  hold(): void {
    this.held = true;
    this.options.socket.pause();
  }

  release(): void {
    this.held = false;
    this.flush();
    this.resume();
  }

  private enqueue(packet: Buffer | 'finish'): void {
    const readyMs = this.options.clock.monotonicMs() + this.delayMs;
    // Never ahead of what was sent before under a longer delay.
    this.outbox.push({ packet, dueMs: Math.max(readyMs, this.outbox.at(-1)?.dueMs ?? 0) });
    this.flush();
  }

  private flush(): void {
    if (this.held) return;
    const { socket, clock } = this.options;
    const nowMs = clock.monotonicMs();
    for (let head = this.outbox[0]; head !== undefined; head = this.outbox[0]) {
      if (head.dueMs > nowMs) {
        this.timer?.cancel();
        this.timer = clock.schedule(head.dueMs - nowMs, () => this.flush());
        return;
      }
      this.outbox.shift();
      if (head.packet === 'finish') socket.destroySoon();
      else if (socket.writable) socket.write(head.packet);
    }
  }

  private resume(): void {
    if (this.held || this.options.socket.destroyed) return;
    this.options.socket.resume();
    this.readPackets();
  }

  private readPackets(): void {
    const { socket, answerWord, onPacket } = this.options;
    if (!this.greeted) {
      const answer = answerWord(this.reader.firstWord);
      if (answer !== undefined) {
        socket.end(answer);
        return;
      }
    }
    try {
      while (!this.held && socket.writable) {
        if (socket.writableNeedDrain) {
          socket.pause();
          return;
        }
        const packet = this.reader.next();
        if (packet === undefined) return;
        this.greeted = true;
        onPacket(packet, this);
      }
    } catch (error) {
      if (!(error instanceof PacketTooLarge)) throw error;
      this.destroy();
    }
  }
}
