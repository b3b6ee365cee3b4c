import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Codec } from './jute.ts';
import { JuteError, decode, encode, int, record, variant, vector } from './jute.ts';
import type { Reply, ReplyBody } from './protocol.ts';
import {
  ConnectRequest,
  ErrorCode,
  Request,
  Stat,
  decodeServerPacket,
  encodeEvent,
  encodeReply,
} from './protocol.ts';
import { Snapshot, Transaction } from './transaction.ts';

const ints = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const longs = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const strings = fc.string({ unit: 'grapheme' });
const bytes = fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array));
const buffers = fc.oneof(bytes, fc.constant(null));
const acls = fc.array(fc.record({ perms: ints, id: fc.record({ scheme: strings, id: strings }) }), {
  maxLength: 3,
});
const stats = fc.record({
  czxid: longs,
  mzxid: longs,
  ctime: longs,
  mtime: longs,
  version: ints,
  cversion: ints,
  aversion: ints,
  ephemeralOwner: longs,
  dataLength: ints,
  numChildren: ints,
  pzxid: longs,
});

/** `type` and fields as the codecs have them. */
function typed<T extends string, F extends object>(type: T, fields: { [K in keyof F]: fc.Arbitrary<F[K]> }) {
  return fc.record({ type: fc.constant(type), ...fields }) as unknown as fc.Arbitrary<{ type: T } & F>;
}

const writeOps = fc.oneof(
  typed('create', { path: strings, data: buffers, acl: acls, flags: ints }),
  typed('delete', { path: strings, version: ints }),
  typed('setData', { path: strings, data: buffers, version: ints }),
  typed('check', { path: strings, version: ints }),
);
const paths = fc.array(strings, { maxLength: 4 });
const requests: fc.Arbitrary<Request> = fc.oneof(
  writeOps,
  typed('exists', { path: strings, watch: fc.boolean() }),
  typed('getData', { path: strings, watch: fc.boolean() }),
  typed('getChildren', { path: strings, watch: fc.boolean() }),
  typed('getChildren2', { path: strings, watch: fc.boolean() }),
  typed('getACL', { path: strings }),
  typed('setACL', { path: strings, acl: acls, version: ints }),
  typed('sync', { path: strings }),
  typed('ping', {}),
  typed('multi', { ops: fc.array(writeOps, { maxLength: 5 }) }),
  typed('auth', { authType: ints, scheme: strings, auth: buffers }),
  typed('setWatches', { relativeZxid: longs, dataWatches: paths, existWatches: paths, childWatches: paths }),
  typed('closeSession', {}),
);
const bodies: fc.Arbitrary<ReplyBody> = fc.oneof(
  typed('none', {}),
  typed('path', { path: strings }),
  typed('stat', { stat: stats }),
  typed('data', { data: buffers, stat: stats }),
  typed('children', { children: paths }),
  typed('childrenAndStat', { children: paths, stat: stats }),
  typed('acl', { acl: acls, stat: stats }),
  typed('multi', {
    results: fc.array(
      fc.oneof(
        typed('create', { path: strings }),
        typed('delete', {}),
        typed('setData', { stat: stats }),
        typed('check', {}),
        typed('error', { err: ints }),
      ),
    ),
  }),
);
const changes = fc.oneof(
  typed('create', { path: strings, data: buffers, acl: acls, ephemeralOwner: longs }),
  typed('delete', { path: strings }),
  typed('setData', { path: strings, data: buffers }),
  typed('setACL', { path: strings, acl: acls }),
  typed('createSession', { sessionId: longs, password: buffers, timeoutMs: ints }),
  typed('closeSession', { sessionId: longs }),
);
const transactions: fc.Arbitrary<Transaction> = fc.record({
  zxid: longs,
  wallMs: longs,
  changes: fc.array(changes, { maxLength: 5 }),
});

function comesBack<T>(codec: Codec<T>, values: fc.Arbitrary<T>): void {
  fc.assert(
    fc.property(values, (value) => {
      expect(decode(codec, encode(codec, value))).toEqual(value);
    }),
  );
}

describe('what is written is read again', () => {
  it('requests', () => comesBack(Request, requests));
  it('stats', () => comesBack(Stat, stats));
  it('transactions', () => comesBack(Transaction, transactions));
  it('replies, with their header', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), longs, bodies, (xid, zxid, body) => {
        const reply: Reply = { zxid, err: ErrorCode.OK, body };
        const packet = encodeReply(xid, reply).subarray(4);
        expect(decodeServerPacket(packet, body.type)).toEqual({ type: 'reply', xid, reply });
      }),
    );
  });
  it('events', () => {
    const types = ['NODE_CREATED', 'NODE_DELETED', 'NODE_DATA_CHANGED', 'NODE_CHILDREN_CHANGED'] as const;
    fc.assert(
      fc.property(fc.constantFrom(...types), strings, (type, path) => {
        const packet = encodeEvent({ type, path }).subarray(4);
        expect(decodeServerPacket(packet, 'none')).toEqual({ type: 'event', event: { type, path } });
      }),
    );
  });
});

describe('bytes that are no such record', () => {
  it('a request cut short anywhere is a JuteError', () => {
    fc.assert(
      fc.property(requests, fc.double({ min: 0, max: 0.999, noNaN: true }), (request, share) => {
        const whole = encode(Request, request);
        expect(() => decode(Request, whole.subarray(0, Math.floor(whole.length * share)))).toThrow(JuteError);
      }),
    );
  });

  it('arbitrary bytes are read as something or refused, but never break the reader', () => {
    const refused = (codec: Codec<unknown>, junk: Buffer) => {
      try {
        decode(codec, junk);
      } catch (error) {
        expect(error).toBeInstanceOf(JuteError);
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(1, 7, 14, 101), (junk, opCode) => {
        refused(ConnectRequest, Buffer.from(junk));
        refused(Snapshot, Buffer.from(junk));
        refused(Request, Buffer.concat([Buffer.from([0, 0, 0, opCode]), junk]));
      }),
    );
  });

  it('a vector that claims more items than there are bytes is refused before it is made', () => {
    expect(() => decode(vector(int), encode(int, 2 ** 31 - 1))).toThrow('vector of 2147483647 items');
  });

  it('an unknown variant is refused', () => {
    const codec = variant({ only: [1, record({ value: int })] } as const);
    expect(() => decode(codec, encode(int, 2))).toThrow('unknown tag 2');
  });
});

it('a null vector reads as an empty one, as clients send them', () => {
  expect(decode(vector(int), encode(int, -1))).toEqual([]);
});
