import { OPEN_ACL } from '../../embedded/zookeeper/acl.ts';
import type { Acl, Reply, Request, WriteOp } from '../../embedded/zookeeper/protocol.ts';
import { ErrorCode } from '../../embedded/zookeeper/protocol.ts';
import type { Outcome } from '../../embedded/zookeeper/state-machine.ts';
import { StateMachine } from '../../embedded/zookeeper/state-machine.ts';
import type { Transaction } from '../../embedded/zookeeper/transaction.ts';

/** A state machine and a clock moved by hand: clients are numbers, requests are calls, events are read off. */
export class MachineDriver {
  nowMs = 0;
  /** Everything committed so far. */
  readonly transactions: Transaction[] = [];
  machine: StateMachine;
  private readonly heard = new Map<bigint, string[]>();
  private nextSessionId = 1n;

  constructor(tickTimeMs = 100) {
    this.machine = new StateMachine({ tickTimeMs, startMs: 0 });
  }

  /** A new session. @returns its id */
  open(timeOut = 1_000): bigint {
    const sessionId = this.nextSessionId++;
    const outcome = this.machine.connect(
      { protocolVersion: 0, lastZxidSeen: 0n, timeOut, sessionId: 0n, passwd: null },
      { sessionId, password: passwordOf(sessionId) },
      this.now(),
    );
    if (outcome.type !== 'ESTABLISHED') throw new Error(outcome.type);
    this.transactions.push(...outcome.transactions);
    return sessionId;
  }

  /** Comes back to a session. @returns the timeout granted: 0 where the session is no more, -1 for no answer */
  reattach(
    sessionId: bigint,
    { password = passwordOf(sessionId), lastZxidSeen = 0n, timeOut = 1_000 } = {},
  ): number {
    const request = { protocolVersion: 0, lastZxidSeen, timeOut, sessionId, passwd: password };
    const outcome = this.machine.connect(request, { sessionId: 0n, password }, this.now());
    return outcome.type === 'AHEAD' ? -1 : outcome.response.timeOut;
  }

  send(sessionId: bigint, request: Request): Reply {
    const outcome = this.machine.request(sessionId, request, this.now());
    this.take(outcome);
    if (outcome.reply === undefined) throw new Error(`no reply to ${request.type}`);
    return outcome.reply;
  }

  /** The error's name, `OK` for none. */
  sendForError(sessionId: bigint, request: Request): string {
    const { err } = this.send(sessionId, request);
    return Object.entries(ErrorCode).find(([, code]) => code === err)?.[0] ?? String(err);
  }

  /** What a session was notified of since it was last asked, as `TYPE path`. */
  events(sessionId: bigint): string[] {
    return this.heard.get(sessionId)?.splice(0) ?? [];
  }

  /** Lets time pass, and whatever expires by then expire. */
  advanceTo(ms: number): Outcome {
    this.nowMs = ms;
    const outcome = this.machine.expire(this.now());
    this.take(outcome);
    return outcome;
  }

  now(): { monotonicMs: number; wallMs: number } {
    return { monotonicMs: this.nowMs, wallMs: 1_700_000_000_000 + this.nowMs };
  }

  private take({ transactions, notifications }: Outcome): void {
    this.transactions.push(...transactions);
    for (const { sessionId, event } of notifications) {
      const heard = this.heard.get(sessionId) ?? [];
      heard.push(`${event.type} ${event.path}`);
      this.heard.set(sessionId, heard);
    }
  }
}

function passwordOf(sessionId: bigint): Buffer {
  return Buffer.alloc(16, Number(sessionId));
}

export const PERSISTENT = 0;
export const EPHEMERAL = 1;
export const PERSISTENT_SEQUENTIAL = 2;
export const EPHEMERAL_SEQUENTIAL = 3;

export function create(path: string, flags = PERSISTENT, acl: readonly Acl[] = OPEN_ACL): WriteOp {
  return { type: 'create', path, data: Buffer.from('data'), acl, flags };
}

export function setData(path: string, text: string, version = -1): WriteOp {
  return { type: 'setData', path, data: Buffer.from(text), version };
}

export function remove(path: string, version = -1): WriteOp {
  return { type: 'delete', path, version };
}

export function check(path: string, version: number): WriteOp {
  return { type: 'check', path, version };
}
