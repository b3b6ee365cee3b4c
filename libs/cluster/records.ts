/**
 * What the znodes hold: JSON with a format version, validated on every read. A record of a newer format is
 * refused rather than guessed at.
 */
import Type from 'typebox';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

const FORMAT_VERSION = 1;
/** The server drops a connection that sends 1 MiB; nothing of ours, a whole multi included, comes near. */
export const MAX_ZNODE_BYTES = 900_000;

const Epoch = Type.Integer({ minimum: 0 });
/** Partition id (as a JSON key) to epoch. */
const PartitionEpochs = Type.Record(Type.String({ pattern: '^(0|[1-9][0-9]*)$' }), Epoch);

export class RecordError extends Error {
  override name = 'RecordError';
}

export interface Codec<T> {
  encode(record: T): Buffer;
  /** @throws RecordError where the bytes are no such record; the message names `path` */
  decode(data: Buffer, path: string): T;
}

function codec<S extends TSchema>(name: string, schema: S): Codec<Static<S>> {
  const compiled = Compile(schema);
  return {
    encode(record) {
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
      if (!compiled.Check(parsed)) {
        const [first] = compiled.Errors(parsed);
        throw new RecordError(
          `${path}: not a ${name} record: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
        );
      }
      return parsed;
    },
  };
}

/** `/meta`: which cluster this is. The uid stands in Postgres as well. */
const Meta = Type.Object({ uid: Type.String(), partitions: Type.Integer({ minimum: 1, maximum: 65_536 }) });
export type Meta = Static<typeof Meta>;
export const metaCodec = codec('meta', Meta);

/** `/controller/leader`, ephemeral. */
const Leader = Type.Object({ id: Type.String(), host: Type.String(), sinceMs: Type.Integer() });
export type Leader = Static<typeof Leader>;
export const leaderCodec = codec('leader', Leader);

/** `/controller/term`: only the znode's version counts; `leader` and `operation` are for the reader of a log. */
const Term = Type.Object({ leader: Type.String(), operation: Type.String() });
export type Term = Static<typeof Term>;
export const termCodec = codec('term', Term);

/** `/controller/mode`. `untilMs` is wall time. */
const Mode = Type.Object({
  mode: Type.Union([Type.Literal('AUTO'), Type.Literal('MAINTENANCE'), Type.Literal('PAUSED')]),
  reason: Type.Optional(Type.String()),
  untilMs: Type.Optional(Type.Integer()),
});
export type Mode = Static<typeof Mode>;
export const modeCodec = codec('mode', Mode);

/**
 * `/plan`: for each partition the worker it is meant for and the last epoch minted. `target[p]` indexes
 * `workers`, -1 for none. `rev` counts the plan's changes and numbers the grants.
 */
const Plan = Type.Object({
  rev: Type.Integer({ minimum: 0 }),
  workers: Type.Array(Type.String()),
  target: Type.Array(Type.Integer({ minimum: -1 })),
  epoch: Type.Array(Epoch),
  /** Identifies the write, so that a lost reply to it can be told from a lost race. */
  operation: Type.String(),
});
export type Plan = Static<typeof Plan>;
export const planCodec = codec('plan', Plan);

/** `/live/<id>~<incarnation>`, ephemeral. */
const Live = Type.Object({ host: Type.String(), pid: Type.Integer(), version: Type.String() });
export type Live = Static<typeof Live>;
export const liveCodec = codec('live', Live);

/**
 * `/grants/<id>`: what one incarnation of a worker may own, and under which epoch. `revoked` names what was
 * taken from it and not yet acknowledged, with the rev that took it: a new leader reads there whom to wait for.
 */
const Grants = Type.Object({
  incarnation: Type.String(),
  rev: Type.Integer({ minimum: 0 }),
  parts: PartitionEpochs,
  revoked: PartitionEpochs,
});
export type Grants = Static<typeof Grants>;
export const grantsCodec = codec('grants', Grants);

/**
 * `/acks/<id>~<incarnation>`, ephemeral: what the worker has made of the grants it has seen up to `rev`.
 * `owned`: acquired in Postgres; `releasing`: revoked, not yet released there; `fenced`: refused by Postgres,
 * with the epoch it holds.
 */
const Ack = Type.Object({
  rev: Type.Integer({ minimum: 0 }),
  owned: PartitionEpochs,
  releasing: Type.Array(Type.Integer({ minimum: 0 })),
  fenced: PartitionEpochs,
});
export type Ack = Static<typeof Ack>;
export const ackCodec = codec('ack', Ack);
