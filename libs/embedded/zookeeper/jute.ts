/**
 * Jute, the serialization of ZooKeeper's wire protocol, as typed codecs: a record is declared once, as a table
 * of fields in wire order, and read and written by the same table. Big-endian; a buffer, string or vector is
 * preceded by its length, -1 standing for null.
 */

/** Bytes that are no such record: too short, an impossible length, an unknown tag. */
export class JuteError extends Error {
  override name = 'JuteError';
}

export class Reader {
  private readonly bytes: Buffer;
  private offset = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  /** The next `length` bytes, without a copy. */
  take(length: number): Buffer {
    if (length < 0 || length > this.remaining) {
      throw new JuteError(`${length} bytes wanted, ${this.remaining} left`);
    }
    this.offset += length;
    return this.bytes.subarray(this.offset - length, this.offset);
  }
}

export class Writer {
  private bytes = Buffer.allocUnsafe(256);
  private length = 0;

  /** Room for `length` more bytes, to be filled by the caller. */
  reserve(length: number): Buffer {
    if (this.length + length > this.bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.length + length, 2 * this.bytes.length));
      this.bytes.copy(grown, 0, 0, this.length);
      this.bytes = grown;
    }
    this.length += length;
    return this.bytes.subarray(this.length - length, this.length);
  }

  finish(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}

export interface Codec<T> {
  /** @throws JuteError */
  read(reader: Reader): T;
  write(writer: Writer, value: T): void;
}

export type Infer<C> = C extends Codec<infer T> ? T : never;

export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new Writer();
  codec.write(writer, value);
  return writer.finish();
}

/** Bytes after the record are ignored, as ZooKeeper does: newer peers append fields. */
export function decode<T>(codec: Codec<T>, bytes: Buffer): T {
  return codec.read(new Reader(bytes));
}

export const int: Codec<number> = {
  read: (reader) => reader.take(4).readInt32BE(0),
  write: (writer, value) => void writer.reserve(4).writeInt32BE(value),
};

export const long: Codec<bigint> = {
  read: (reader) => reader.take(8).readBigInt64BE(0),
  write: (writer, value) => void writer.reserve(8).writeBigInt64BE(value),
};

export const bool: Codec<boolean> = {
  read: (reader) => reader.take(1).readInt8(0) !== 0,
  write: (writer, value) => void writer.reserve(1).writeInt8(value ? 1 : 0),
};

/** Read as a copy, so that a small value does not keep the packet it came in alive. */
export const buffer: Codec<Buffer | null> = {
  read(reader) {
    const length = int.read(reader);
    return length === -1 ? null : Buffer.from(reader.take(length));
  },
  write(writer, value) {
    int.write(writer, value?.length ?? -1);
    value?.copy(writer.reserve(value.length));
  },
};

/** UTF-8. A null string is refused: no request of the protocol has use for one. */
export const ustring: Codec<string> = {
  read: (reader) => reader.take(int.read(reader)).toString('utf8'),
  write(writer, value) {
    const length = Buffer.byteLength(value, 'utf8');
    int.write(writer, length);
    writer.reserve(length).write(value, 'utf8');
  },
};

/** A null vector reads as an empty one. */
export function vector<T>(item: Codec<T>): Codec<readonly T[]> {
  return {
    read(reader) {
      const count = int.read(reader);
      // Every item takes a byte at least: an absurd count fails before anything is allocated for it.
      if (count < -1 || count > reader.remaining) throw new JuteError(`vector of ${count} items`);
      return Array.from({ length: Math.max(0, count) }, () => item.read(reader));
    },
    write(writer, items) {
      int.write(writer, items.length);
      for (const each of items) item.write(writer, each);
    },
  };
}

type FieldsOf<F> = { readonly [K in keyof F]: Infer<F[K]> };

/** The fields in wire order. */
export function record<F extends Record<string, unknown>>(fields: F): Codec<FieldsOf<F>> {
  const table = Object.entries(fields) as [keyof F, Codec<unknown>][];
  return {
    read: (reader) =>
      Object.fromEntries(table.map(([name, codec]) => [name, codec.read(reader)])) as FieldsOf<F>,
    write(writer, value) {
      for (const [name, codec] of table) codec.write(writer, value[name]);
    },
  };
}

export type VariantOf<V> = {
  [K in keyof V]: V[K] extends readonly [number, infer C] ? { readonly type: K } & Infer<C> : never;
}[keyof V];

/** One of several records, told apart by an int before it: `{ create: [1, createRecord], … }`. */
export function variant<V extends Record<string, readonly [number, unknown]>>(cases: V): Codec<VariantOf<V>> {
  const byTag = new Map(Object.entries(cases).map(([type, [tag, codec]]) => [tag, { type, codec }]));
  return {
    read(reader) {
      const tag = int.read(reader);
      const found = byTag.get(tag);
      if (found === undefined) throw new UnknownTagError(tag);
      return { type: found.type, ...(found.codec as Codec<object>).read(reader) } as VariantOf<V>;
    },
    write(writer, value) {
      const found = cases[(value as { type: string }).type];
      if (found === undefined) throw new JuteError('no such variant');
      int.write(writer, found[0]);
      (found[1] as Codec<unknown>).write(writer, value);
    },
  };
}

export class UnknownTagError extends JuteError {
  override name = 'UnknownTagError';
  constructor(tag: number) {
    super(`unknown tag ${tag}`);
  }
}
