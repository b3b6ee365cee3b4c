/**
 * What the znodes hold is JSON with a format version, validated on every read. A record of a newer format is
 * refused rather than guessed at.
 */
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

const FORMAT_VERSION = 1;
/** The server drops a connection that sends 1 MiB; nothing of ours, a whole multi included, comes near. */
export const MAX_ZNODE_BYTES = 900_000;

export class RecordError extends Error {
  override name = 'RecordError';
}

export interface Codec<T> {
  /** @throws RecordError for what `decode` would not take, or what ZooKeeper would not: it is never written */
  encode(record: T): Buffer;
  /** @throws RecordError where the bytes are no such record; the message names `path` */
  decode(data: Buffer, path: string): T;
}

/** The codec of records of one schema; `name` says in errors what they are. */
export function codec<S extends TSchema>(name: string, schema: S): Codec<Static<S>> {
  const compiled = Compile(schema);
  const fault = (record: unknown) => {
    const [first] = compiled.Errors(record);
    return `not a ${name} record: ${first?.instancePath ?? ''} ${first?.message ?? ''}`;
  };
  return {
    encode(record) {
      if (!compiled.Check(record)) throw new RecordError(fault(record));
      const data = Buffer.from(JSON.stringify({ v: FORMAT_VERSION, ...(record as object) }));
      if (data.length > MAX_ZNODE_BYTES) {
        throw new RecordError(`${name} record is ${data.length} bytes, over the limit of ${MAX_ZNODE_BYTES}`);
      }
      return data;
    },
    decode(data, path) {
      let parsed: unknown;
      try {
        parsed = JSON.parse(data.toString('utf8'));
      } catch {
        throw new RecordError(`${path}: not JSON, expected a ${name} record`);
      }
      const version = (parsed as { v?: unknown } | null)?.v;
      if (version !== FORMAT_VERSION) {
        throw new RecordError(
          `${path}: format version ${JSON.stringify(version)}, this build reads ${FORMAT_VERSION}`,
        );
      }
      if (!compiled.Check(parsed)) throw new RecordError(`${path}: ${fault(parsed)}`);
      return parsed;
    },
  };
}
