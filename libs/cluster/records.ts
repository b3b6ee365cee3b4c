/** What the znodes hold, one codec a record. */
import Type from 'typebox';
import type { Static } from 'typebox';
import { codec } from './codec.ts';
import type { Codec } from './codec.ts';
import { packNumbers, packSet, PartitionNumbers, PartitionSet, unpackNumbers, unpackSet } from './packing.ts';
import type { NumbersByPartition } from './packing.ts';

export { MAX_ZNODE_BYTES, RecordError } from './codec.ts';
export type { Codec } from './codec.ts';

const Epoch = Type.Integer({ minimum: 0 });
const Rev = Type.Integer({ minimum: 0 });
/** A worker's id, a zone, a tag: what the variables of a worker may say as well. */
const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$';
const Name = Type.String({ pattern: NAME_PATTERN });
const Weight = Type.Integer({ minimum: 1, maximum: 1_000 });
/** Of one worker. */
export const MOST_TAGS = 32;
const Tags = Type.Array(Name, { maxItems: MOST_TAGS });

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

/**
 * `/controller/mode`: what administrators tell the controller of the cluster as a whole. `untilMs` is wall time;
 * a mode that has ended is AUTO. Each writer replaces the mode alone and leaves the rest as it is.
 */
const Mode = Type.Object({
  mode: Type.Union([Type.Literal('AUTO'), Type.Literal('MAINTENANCE'), Type.Literal('PAUSED')]),
  reason: Type.Optional(Type.String()),
  untilMs: Type.Optional(Type.Integer()),
  /** The controller's own MAINTENANCE, which it may end before its time. */
  automatic: Type.Optional(Type.Boolean()),
  /** Only workers with this tag hold partitions, whatever the mode. */
  requiredTag: Type.Optional(Name),
});
export type Mode = Static<typeof Mode>;
export const modeCodec = codec('mode', Mode);

/**
 * `/plan`: for each partition the worker it is meant for and the last epoch minted. `target[p]` indexes
 * `workers`, -1 for none. `rev` counts the plan's changes and numbers the grants.
 */
const Plan = Type.Object({
  rev: Rev,
  workers: Type.Array(Type.String()),
  target: Type.Array(Type.Integer({ minimum: -1 })),
  epoch: Type.Array(Epoch),
  /** One base-36 digit a partition: how many changes of `target` ago it came to its worker; z: 35 or more. */
  ages: Type.Optional(Type.String({ pattern: '^[0-9a-z]*$' })),
  /** Identifies the write, so that a lost reply to it can be told from a lost race. */
  operation: Type.String(),
  /** Workers in quarantine when this was written, each with the wall time of its end: for the reader of a status. */
  quarantined: Type.Optional(Type.Record(Type.String(), Type.Integer())),
});
export type Plan = Static<typeof Plan>;
export const planCodec = codec('plan', Plan);

/** `/live/<id>~<incarnation>`, ephemeral, never changed: who it is, and what it says of itself. */
const Live = Type.Object({
  host: Type.String(),
  pid: Type.Integer(),
  version: Type.String(),
  zone: Type.Optional(Name),
  weight: Type.Optional(Weight),
  tags: Type.Optional(Tags),
});
export type Live = Static<typeof Live>;
export const liveCodec = codec('live', Live);

/** `/workers/<id>`: an administrator's wish; what it says stands over what the worker says of itself. */
const WorkerWish = Type.Object({
  wish: Type.Optional(Type.Union([Type.Literal('ENABLED'), Type.Literal('DRAIN'), Type.Literal('DISABLED')])),
  zone: Type.Optional(Name),
  weight: Type.Optional(Weight),
  tags: Type.Optional(Tags),
  maxPartitions: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_536 })),
});
export type WorkerWish = Static<typeof WorkerWish>;
export const workerWishCodec = codec('worker wish', WorkerWish);

/**
 * `/grants/<id>`: what one incarnation of a worker may own, and under which epoch. `revoked` names what was
 * taken from it and not yet acknowledged, with the rev that took it: a new leader reads there whom to wait for.
 */
export interface Grants {
  readonly incarnation: string;
  readonly rev: number;
  readonly parts: NumbersByPartition;
  readonly revoked: NumbersByPartition;
}
const grantsWire = codec(
  'grants',
  Type.Object({ incarnation: Type.String(), rev: Rev, parts: PartitionNumbers, revoked: PartitionNumbers }),
);
export const grantsCodec: Codec<Grants> = {
  encode: (grants) =>
    grantsWire.encode({
      ...grants,
      parts: packNumbers(grants.parts),
      revoked: packNumbers(grants.revoked),
    }),
  decode(data, path) {
    const grants = grantsWire.decode(data, path);
    return {
      ...grants,
      parts: unpackNumbers(grants.parts, path),
      revoked: unpackNumbers(grants.revoked, path),
    };
  },
};

/**
 * `/acks/<id>~<incarnation>`, ephemeral: what the worker has made of the grants it has seen up to `rev`.
 * `owned`: acquired in Postgres; `releasing`: revoked, not yet released there; `fenced`: refused by Postgres,
 * with the epoch it holds. A persistent one without a live node is the farewell of a worker that left in good
 * order: what it was granted is released. The controller removes it when it has taken note.
 */
export interface Ack {
  readonly rev: number;
  readonly owned: NumbersByPartition;
  readonly releasing: readonly number[];
  readonly fenced: NumbersByPartition;
}
const ackWire = codec(
  'ack',
  Type.Object({ rev: Rev, owned: PartitionNumbers, releasing: PartitionSet, fenced: PartitionNumbers }),
);
export const ackCodec: Codec<Ack> = {
  encode: (ack) =>
    ackWire.encode({
      ...ack,
      owned: packNumbers(ack.owned),
      releasing: packSet(ack.releasing),
      fenced: packNumbers(ack.fenced),
    }),
  decode(data, path) {
    const ack = ackWire.decode(data, path);
    return {
      ...ack,
      owned: unpackNumbers(ack.owned, path),
      releasing: unpackSet(ack.releasing),
      fenced: unpackNumbers(ack.fenced, path),
    };
  },
};
