/** Between the port's types and the server's: what libs/cluster does by way of bytes. */
import { errorOfCode } from '../../libs/cluster/error-codes.ts';
import type { CreateMode, Op, OpResult, Stat } from '../../libs/cluster/zookeeper.ts';
import { unreachable } from '../../libs/core/invariant.ts';
import { OPEN_ACL } from '../../libs/embedded/zookeeper/acl.ts';
import type { MultiResult, Stat as WireStat, WriteOp } from '../../libs/embedded/zookeeper/protocol.ts';
import { CreateFlag, ErrorCode } from '../../libs/embedded/zookeeper/protocol.ts';

export function flagsOf(mode: CreateMode): number {
  const ephemeral = mode.startsWith('EPHEMERAL') ? CreateFlag.EPHEMERAL : 0;
  return ephemeral | (mode.endsWith('SEQUENTIAL') ? CreateFlag.SEQUENTIAL : 0);
}

export function toWriteOp(op: Op): WriteOp {
  switch (op.op) {
    case 'create':
      return { type: 'create', path: op.path, data: op.data, acl: OPEN_ACL, flags: flagsOf(op.mode) };
    case 'setData':
      return { type: 'setData', path: op.path, data: op.data, version: op.version };
    case 'delete':
      return { type: 'delete', path: op.path, version: op.version };
    case 'check':
      return { type: 'check', path: op.path, version: op.version };
    default:
      return unreachable(op);
  }
}

export function multiResults(ops: readonly Op[], results: readonly MultiResult[]): OpResult[] {
  const refused = results.findIndex((result) => result.type === 'error' && result.err !== ErrorCode.OK);
  const culprit = results[refused];
  if (culprit?.type === 'error')
    throw errorOfCode(culprit.err, 'multi', ops[refused]?.path, { opIndex: refused });
  return results.map((result): OpResult => {
    switch (result.type) {
      case 'create':
        return { op: 'create', path: result.path };
      case 'setData':
        return { op: 'setData', stat: toStat(result.stat) };
      case 'delete':
      case 'check':
        return { op: result.type };
      case 'error':
        throw errorOfCode(result.err, 'multi');
      default:
        return unreachable(result);
    }
  });
}

export function toStat({ ctime, mtime, ...rest }: WireStat): Stat {
  return { ...rest, ctimeMs: Number(ctime), mtimeMs: Number(mtime) };
}
