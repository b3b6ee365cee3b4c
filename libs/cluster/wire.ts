/** Between the port's types and the package's records. */
import zookeeper from 'node-zookeeper-client';
import type { Acl } from 'node-zookeeper-client';
import jute from 'node-zookeeper-client/lib/jute/index.js';
import type * as Wire from 'node-zookeeper-client/lib/jute/index.js';
import { invariant, unreachable } from '../core/invariant.ts';
import { errorOfCode } from './error-codes.ts';
import type { Op, OpResult, Stat } from './zookeeper.ts';

const { OP_CODES } = jute;

export function toStat(stat: Wire.Stat): Stat {
  return {
    czxid: stat.czxid.readBigInt64BE(),
    mzxid: stat.mzxid.readBigInt64BE(),
    pzxid: stat.pzxid.readBigInt64BE(),
    ctimeMs: Number(stat.ctime.readBigInt64BE()),
    mtimeMs: Number(stat.mtime.readBigInt64BE()),
    version: stat.version,
    cversion: stat.cversion,
    aversion: stat.aversion,
    ephemeralOwner: stat.ephemeralOwner.readBigInt64BE(),
    dataLength: stat.dataLength,
    numChildren: stat.numChildren,
  };
}

/**
 * Encoded directly rather than through the package's `Transaction`, which takes version 0 for "any version"
 * and so makes a check, setData or delete unconditional.
 */
export function multiRequest(ops: readonly Op[], acls: readonly Acl[]): Wire.Payload {
  return new jute.TransactionRequest(
    ops.map((op): Wire.TransactionOp => {
      switch (op.op) {
        case 'create': {
          const mode = zookeeper.CreateMode[op.mode];
          return { type: OP_CODES.CREATE, path: op.path, data: op.data, acls, mode };
        }
        case 'setData':
          return { type: OP_CODES.SET_DATA, path: op.path, data: op.data, version: op.version };
        case 'delete':
          return { type: OP_CODES.DELETE, path: op.path, version: op.version };
        case 'check':
          return { type: OP_CODES.CHECK, path: op.path, version: op.version };
        default:
          return unreachable(op);
      }
    }),
  );
}

/** @throws ZooKeeperError with `opIndex` where the server refused one, and so all of them */
export function multiResults(ops: readonly Op[], results: readonly Wire.TransactionResult[]): OpResult[] {
  const refused = results.findIndex(({ type, err }) => type === OP_CODES.ERROR && err !== 0);
  if (refused >= 0) {
    throw errorOfCode(results[refused]?.err ?? 0, 'multi', ops[refused]?.path, { opIndex: refused });
  }
  invariant(results.length === ops.length, 'a multi has a result for each operation');
  return ops.map(({ op }, index): OpResult => {
    const result = results[index];
    if (op === 'create') return { op, path: required(result?.path) };
    if (op === 'setData') return { op, stat: toStat(required(result?.stat)) };
    return { op };
  });
}

/** What every successful answer of its kind carries. */
export function required<T>(value: T | undefined): T {
  invariant(value !== undefined, 'the answer has what its operation promises');
  return value;
}
