import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { DatabaseOptions } from './database.ts';
import { lockDirectory } from './directory-lock.ts';
import { ZooKeeperServerError, systemErrorCode } from './errors.ts';
import type { Codec } from './jute.ts';
import { decode, encode } from './jute.ts';
import { StateMachine } from './state-machine.ts';
import { Snapshot, Transaction } from './transaction.ts';

/** Each record in a file: its length, the CRC-32 of its bytes, its bytes. */
const HEADER_BYTES = 8;
/** The log is folded into a snapshot when it outgrows both this and the last snapshot. */
const DEFAULT_MAX_LOG_BYTES = 8 * 1024 * 1024;

export interface PersistenceOptions extends Omit<DatabaseOptions, 'snapshot'> {
  readonly directory: string;
  readonly maxLogBytes?: number;
}

/**
 * A directory that holds a server's state: `snapshot`, the whole of it as of some zxid, and `log`, the
 * transactions since. Sessions are kept as well, as ZooKeeper does: one whose client does not come back within
 * its timeout expires, and its ephemerals with it.
 *
 * A transaction is in the log before anyone is told of it, so a killed server has lost nothing it has answered;
 * the log is not synced to disk with each one, so a machine that loses power may lose the last moments.
 */
export class Persistence {
  private readonly directory: string;
  private readonly maxLogBytes: number;
  private readonly unlock: () => void;
  private readonly log: number;
  private logBytes = 0;
  private snapshotBytes = 0;

  private constructor(directory: string, maxLogBytes: number, unlock: () => void) {
    this.directory = directory;
    this.maxLogBytes = maxLogBytes;
    this.unlock = unlock;
    this.log = openSync(join(directory, 'log'), 'a');
  }

  /**
   * Opens the directory, made if need be, and brings its state back to life.
   * @throws ZooKeeperServerError DATA_DIR_IN_USE, DATA_DIR_UNUSABLE, or DATA_DAMAGED where bytes other than a
   *   torn last record are not as written
   */
  static open(options: PersistenceOptions): { persistence: Persistence; machine: StateMachine } {
    const { directory, maxLogBytes = DEFAULT_MAX_LOG_BYTES } = options;
    try {
      mkdirSync(directory, { recursive: true });
    } catch (error) {
      const message = `cannot make the directory ${directory}: ${systemErrorCode(error)}`;
      throw new ZooKeeperServerError('DATA_DIR_UNUSABLE', message, error);
    }
    const unlock = lockDirectory(directory);
    try {
      const machine = recover(options);
      const persistence = new Persistence(directory, maxLogBytes, unlock);
      persistence.fold(machine.snapshot());
      return { persistence, machine };
    } catch (error) {
      unlock();
      if (error instanceof ZooKeeperServerError) throw error;
      const message = `cannot use the directory ${directory}: ${systemErrorCode(error)}`;
      throw new ZooKeeperServerError('DATA_DIR_UNUSABLE', message, error);
    }
  }

  /** @throws where the disk is full or broken: the server must not answer, nor go on */
  append(transaction: Transaction): void {
    const bytes = sealed(Transaction, transaction);
    writeFileSync(this.log, bytes);
    this.logBytes += bytes.length;
  }

  /** Whether it is time to {@link fold} the log. */
  get isLogLarge(): boolean {
    return this.logBytes > Math.max(this.maxLogBytes, this.snapshotBytes);
  }

  /** Puts `snapshot` in the place of all that was written before. A crash at any point loses nothing. */
  fold(snapshot: Snapshot): void {
    const bytes = sealed(Snapshot, snapshot);
    const next = join(this.directory, 'snapshot.next');
    writeFileSync(next, bytes, { flush: true });
    renameSync(next, join(this.directory, 'snapshot'));
    syncDirectory(this.directory);
    ftruncateSync(this.log, 0);
    this.logBytes = 0;
    this.snapshotBytes = bytes.length;
  }

  close(): void {
    fsyncSync(this.log);
    closeSync(this.log);
    this.unlock();
  }
}

function recover({ directory, tickTimeMs, startMs }: PersistenceOptions): StateMachine {
  const [first] = records(join(directory, 'snapshot'), Snapshot, { mayBeTorn: false });
  const machine = new StateMachine({
    tickTimeMs,
    startMs,
    ...(first === undefined ? {} : { snapshot: first }),
  });
  for (const transaction of records(join(directory, 'log'), Transaction, { mayBeTorn: true })) {
    // A crash between a snapshot and the emptying of the log leaves what the snapshot already has.
    if (transaction.zxid <= machine.zxid) continue;
    if (transaction.zxid !== machine.zxid + 1n) {
      const gap = `transaction ${machine.zxid + 1n} is missing`;
      throw new ZooKeeperServerError('DATA_DAMAGED', `${join(directory, 'log')} is damaged: ${gap}`);
    }
    machine.replay(transaction, startMs);
  }
  return machine;
}

function sealed<T>(codec: Codec<T>, value: T): Buffer {
  const bytes = encode(codec, value);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(bytes.length, 0);
  header.writeUInt32BE(crc32(bytes), 4);
  return Buffer.concat([header, bytes]);
}

/** The records of a file, none where it does not exist. A torn one is the last, cut short by the end of file. */
function records<T>(file: string, codec: Codec<T>, { mayBeTorn }: { mayBeTorn: boolean }): T[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const found: T[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const start = offset + HEADER_BYTES;
    const end = start <= bytes.length ? start + bytes.readUInt32BE(offset) : Infinity;
    const body = bytes.subarray(start, end);
    const whole = end > start && end <= bytes.length;
    if (!whole || crc32(body) !== bytes.readUInt32BE(offset + 4)) {
      // Nothing whole may follow what is torn: `end` is at or beyond the end of the file, or all is zeros.
      const torn = end >= bytes.length || bytes.subarray(offset).every((byte) => byte === 0);
      if (torn && mayBeTorn) return found;
      throw new ZooKeeperServerError('DATA_DAMAGED', `${file} is damaged at byte ${offset}`);
    }
    found.push(decode(codec, body));
    offset = end;
  }
  return found;
}

/** Makes the renames in it durable. Windows neither needs nor allows it. */
function syncDirectory(directory: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
