import { ZooKeeperError } from './zookeeper.ts';

const LENGTH_BYTES = 4;
/** Nothing the server sends comes near; a length beyond it means that the stream is out of step. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/**
 * Cuts one connection's stream of bytes into ZooKeeper's frames: a length of four bytes, then the packet.
 * One splitter a connection, so that a frame cut short dies with the connection that carried it.
 */
export class FrameSplitter {
  #chunks: Buffer[] = [];
  #buffered = 0;
  /** Bytes needed before there can be a whole frame. */
  #wanted = LENGTH_BYTES;

  /**
   * Takes the next bytes and returns the frames they complete, each with its length in front.
   * @throws ZooKeeperError where a length cannot be one
   */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered < this.#wanted) return [];

    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#buffered);
    const frames: Buffer[] = [];
    let offset = 0;
    for (;;) {
      const left = bytes.length - offset;
      this.#wanted = left < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + lengthAt(bytes, offset);
      if (left < this.#wanted) break;
      frames.push(bytes.subarray(offset, offset + this.#wanted));
      offset += this.#wanted;
    }
    this.#buffered = bytes.length - offset;
    this.#chunks = this.#buffered > 0 ? [bytes.subarray(offset)] : [];
    return frames;
  }
}

function lengthAt(bytes: Buffer, offset: number): number {
  const length = bytes.readInt32BE(offset);
  if (length < 0 || length > MAX_FRAME_BYTES) {
    throw new ZooKeeperError('CONNECTION_LOSS', 'receive', undefined, {
      message: `a frame of ${length} bytes`,
    });
  }
  return length;
}
