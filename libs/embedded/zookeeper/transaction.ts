/**
 * What changes the server's state, as it is applied, logged and replayed. A request is checked once, before it
 * becomes a transaction; replaying needs no checks.
 */
import type { Infer } from './jute.ts';
import { buffer, int, long, record, ustring, variant, vector } from './jute.ts';
import { Acl } from './protocol.ts';

export const SessionRecord = record({ sessionId: long, password: buffer, timeoutMs: int });
export type SessionRecord = Infer<typeof SessionRecord>;

export const Change = variant({
  create: [1, record({ path: ustring, data: buffer, acl: vector(Acl), ephemeralOwner: long })],
  delete: [2, record({ path: ustring })],
  setData: [5, record({ path: ustring, data: buffer })],
  setACL: [7, record({ path: ustring, acl: vector(Acl) })],
  createSession: [-10, SessionRecord],
  closeSession: [-11, record({ sessionId: long })],
} as const);
export type Change = Infer<typeof Change>;
export type TreeChange = Exclude<Change, { type: 'createSession' | 'closeSession' }>;

/**
 * `zxid`s are consecutive. A refused write has one too, with no changes: its reply has shown the zxid to a
 * client, which will refuse a server that comes back behind it.
 */
export const Transaction = record({ zxid: long, wallMs: long, changes: vector(Change) });
export type Transaction = Infer<typeof Transaction>;

export const ZnodeRecord = record({
  path: ustring,
  data: buffer,
  acl: vector(Acl),
  czxid: long,
  mzxid: long,
  pzxid: long,
  ctime: long,
  mtime: long,
  version: int,
  creates: int,
  aversion: int,
  ephemeralOwner: long,
});
export type ZnodeRecord = Infer<typeof ZnodeRecord>;

/** The whole state after transaction `zxid`; parents precede their children. */
export const Snapshot = record({
  zxid: long,
  sessions: vector(SessionRecord),
  znodes: vector(ZnodeRecord),
});
export type Snapshot = Infer<typeof Snapshot>;
