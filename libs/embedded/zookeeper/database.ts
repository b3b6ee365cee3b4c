import { isPermitted } from './acl.ts';
import type { TreeEvent } from './data-tree.ts';
import { DataTree, statOf } from './data-tree.ts';
import { find } from './prepare.ts';
import type { ReplyBody } from './protocol.ts';
import { OperationRefused, Perms } from './protocol.ts';
import { Sessions } from './sessions.ts';
import type { Change, Snapshot, Transaction } from './transaction.ts';
import type { Notification } from './watches.ts';
import { Watches } from './watches.ts';

/** When something happens: sessions live by the monotonic clock, znodes are stamped by the wall's. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** Makes a change of the state that the steps before it have left; nothing where it only checks. */
export type Step = () => Change | undefined;

export interface Commit {
  readonly transaction: Transaction;
  readonly notifications: readonly Notification[];
  /** What each step's client is told; empty where one was refused. */
  readonly results: readonly ReplyBody[];
  readonly refused?: { readonly index: number; readonly code: number };
}

export interface DatabaseOptions {
  readonly tickTimeMs: number;
  /** Monotonic time of the start: the sessions of `snapshot` have their whole timeout from then. */
  readonly startMs: number;
  readonly snapshot?: Snapshot;
}

/** Znodes, sessions and watches, changed by numbered transactions only. */
export class Database {
  readonly tree: DataTree;
  readonly sessions: Sessions;
  readonly watches = new Watches();
  private lastZxid: bigint;

  constructor({ tickTimeMs, startMs, snapshot }: DatabaseOptions) {
    this.tree = new DataTree(snapshot?.znodes);
    this.sessions = new Sessions(tickTimeMs);
    this.lastZxid = snapshot?.zxid ?? 0n;
    for (const session of snapshot?.sessions ?? []) this.sessions.open(session, startMs);
  }

  get zxid(): bigint {
    return this.lastZxid;
  }

  snapshot(): Snapshot {
    return { zxid: this.lastZxid, sessions: this.sessions.all(), znodes: this.tree.records() };
  }

  /** Takes all steps under one zxid, or none where one is refused. The zxid is used up either way. */
  commit(steps: readonly Step[], now: Instant): Commit {
    const zxid = ++this.lastZxid;
    const wallMs = BigInt(Math.floor(now.wallMs));
    const changes: Change[] = [];
    const results: ReplyBody[] = [];
    const events: TreeEvent[] = [];
    const undos: (() => void)[] = [];
    for (const [index, step] of steps.entries()) {
      try {
        const change = step();
        if (change !== undefined) {
          const applied = this.apply(change, { zxid, wallMs, nowMs: now.monotonicMs });
          changes.push(change);
          events.push(...applied.events);
          undos.push(applied.undo);
        }
        results.push(this.resultOf(change));
      } catch (error) {
        if (!(error instanceof OperationRefused)) throw error;
        for (const undo of undos.reverse()) undo();
        const transaction = { zxid, wallMs, changes: [] };
        return { transaction, notifications: [], results: [], refused: { index, code: error.code } };
      }
    }
    const notifications = events.flatMap((event) => this.notify(event));
    return { transaction: { zxid, wallMs, changes }, notifications, results };
  }

  /** Applies what was committed and logged before a restart; `startMs` as in {@link DatabaseOptions}. */
  replay({ zxid, wallMs, changes }: Transaction, startMs: number): void {
    this.lastZxid = zxid;
    for (const change of changes) this.apply(change, { zxid, wallMs, nowMs: startMs });
  }

  /** A watch is used up even where its owner may not read the znode and so hears nothing. */
  private notify({ type, path, acl }: TreeEvent): Notification[] {
    return this.watches.trigger({ type, path }).filter(({ sessionId }) => {
      return isPermitted(acl, Perms.READ, this.sessions.find(sessionId)?.identities ?? []);
    });
  }

  private apply(
    change: Change,
    { zxid, wallMs, nowMs }: { zxid: bigint; wallMs: bigint; nowMs: number },
  ): { events: readonly TreeEvent[]; undo: () => void } {
    // Sessions are never part of a multi, so nothing takes their changes back.
    const undo = () => undefined;
    switch (change.type) {
      case 'createSession':
        this.sessions.open(change, nowMs);
        return { events: [], undo };
      case 'closeSession':
        this.sessions.close(change.sessionId);
        return { events: [], undo };
      default:
        return this.tree.apply(change, zxid, wallMs);
    }
  }

  private resultOf(change: Change | undefined): ReplyBody {
    switch (change?.type) {
      case 'create':
        return { type: 'path', path: change.path };
      case 'setData':
      case 'setACL':
        return { type: 'stat', stat: statOf(find(this.tree, change.path)) };
      default:
        return { type: 'none' };
    }
  }
}
