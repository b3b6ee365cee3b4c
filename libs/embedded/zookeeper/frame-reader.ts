/** `jute.maxbuffer` of a ZooKeeper server: a longer packet ends the connection that sends it. */
export const MAX_PACKET_BYTES = 0xfffff;
const LENGTH_BYTES = 4;

export class PacketTooLarge extends Error {
  override name = 'PacketTooLarge';
}

/** Cuts a stream of bytes into packets: each preceded by its length in four bytes. */
export class FrameReader {
  private pending: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
  }

  /** The first four bytes as text, once they are there: a length, or one of ZooKeeper's four-letter words. */
  get firstWord(): string {
    return this.pending.toString('latin1', 0, LENGTH_BYTES);
  }

  /**
   * The next packet, without its length; `undefined` until the whole of it has come.
   * @throws PacketTooLarge also for a negative length
   */
  next(): Buffer | undefined {
    if (this.pending.length < LENGTH_BYTES) return undefined;
    const length = this.pending.readInt32BE(0);
    if (length < 0 || length > MAX_PACKET_BYTES) throw new PacketTooLarge(`a packet of ${length} bytes`);
    const end = LENGTH_BYTES + length;
    if (this.pending.length < end) return undefined;
    const packet = this.pending.subarray(LENGTH_BYTES, end);
    this.pending = this.pending.subarray(end);
    return packet;
  }
}
