import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { create, setData } from '../../testing/zookeeper/machine-driver.ts';
import { ZooKeeperServerError } from './errors.ts';
import { Persistence } from './persistence.ts';
import type { Request } from './protocol.ts';
import type { StateMachine } from './state-machine.ts';

const SESSION = 7n;
const NOW = { monotonicMs: 0, wallMs: 0 };

let directory: string;
let snapshotFile: string;
let logFile: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'persistence-'));
  snapshotFile = join(directory, 'snapshot');
  logFile = join(directory, 'log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A server's memory and its files, without the server. */
class Opened {
  readonly persistence: Persistence;
  readonly machine: StateMachine;

  constructor(maxLogBytes?: number) {
    const options = { directory, tickTimeMs: 100, startMs: 0, ...(maxLogBytes && { maxLogBytes }) };
    ({ persistence: this.persistence, machine: this.machine } = Persistence.open(options));
    if (!this.machine.hasSession(SESSION)) {
      const request = { protocolVersion: 0, lastZxidSeen: 0n, timeOut: 1_000, sessionId: 0n, passwd: null };
      const outcome = this.machine.connect(request, { sessionId: SESSION, password: Buffer.alloc(16) }, NOW);
      if (outcome.type === 'ESTABLISHED')
        for (const each of outcome.transactions) this.persistence.append(each);
    }
  }

  send(request: Request): void {
    const { transactions } = this.machine.request(SESSION, request, NOW);
    for (const transaction of transactions) this.persistence.append(transaction);
    if (this.persistence.isLogLarge) this.persistence.fold(this.machine.snapshot());
  }

  /** As a crash leaves it: nothing more is written, and the directory is free since its holder is dead. */
  crash(): void {
    this.persistence.close();
  }
}

function codeOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    if (!(error instanceof ZooKeeperServerError)) throw error;
    return error.code;
  }
}

describe('a server that starts again', () => {
  it('has its znodes, its sessions and its zxid, whether they were in the log or in a snapshot', () => {
    const first = new Opened();
    for (const request of [create('/a'), create('/a/e', 1), setData('/a', 'x')]) first.send(request);
    const before = first.machine.snapshot();
    first.crash();
    for (let start = 0; start < 2; start += 1) {
      const again = new Opened();
      expect(again.machine.snapshot().znodes).toEqual(before.znodes);
      expect(again.machine.zxid).toBe(before.zxid);
      again.crash();
    }
  });

  it('never goes back behind a zxid it has shown, not even that of a refused write', () => {
    const first = new Opened();
    first.send(setData('/none', 'x'));
    const shown = first.machine.zxid;
    first.crash();
    expect(new Opened().machine.zxid).toBe(shown);
  });

  it('lets the ephemerals go of a session that does not come back', () => {
    const first = new Opened();
    first.send(create('/e', 1));
    first.crash();
    const { machine } = new Opened();
    expect(machine.expire({ monotonicMs: 1_000, wallMs: 0 }).ended).toEqual([]);
    expect(machine.expire({ monotonicMs: 1_100, wallMs: 0 }).ended).toEqual([SESSION]);
    expect(machine.snapshot().znodes.map(({ path }) => path)).not.toContain('/e');
  });

  it('drops a last record that was cut short, wherever that was, and goes on from there', () => {
    const first = new Opened();
    first.send(create('/a'));
    const whole = statSync(logFile).size;
    first.send(create('/torn'));
    first.crash();
    const log = readFileSync(logFile);
    const snapshot = readFileSync(snapshotFile);
    const end = log.length;
    for (const size of [whole + 1, whole + 4, whole + 7, whole + 8, whole + 9, end - 20, end - 1]) {
      writeFileSync(snapshotFile, snapshot);
      writeFileSync(logFile, log.subarray(0, size));
      const again = new Opened();
      again.send(create('/later'));
      const paths = again.machine.snapshot().znodes.map(({ path }) => path);
      expect(paths).toContain('/a');
      expect(paths).toContain('/later');
      expect(paths).not.toContain('/torn');
      again.crash();
    }
  });

  it('drops a tail of zeros, as a file system leaves after a loss of power', () => {
    new Opened().crash();
    appendFileSync(logFile, Buffer.alloc(100));
    expect(codeOf(() => new Opened().crash())).toBeUndefined();
  });

  it('does not apply twice what a snapshot already has, after a crash before the log was emptied', () => {
    const first = new Opened();
    for (const request of [create('/s', 2), create('/s', 2)]) first.send(request);
    const log = readFileSync(logFile);
    first.persistence.fold(first.machine.snapshot());
    const before = first.machine.snapshot();
    first.crash();
    writeFileSync(logFile, log);
    expect(new Opened().machine.snapshot().znodes).toEqual(before.znodes);
  });
});

describe('damage is told, not guessed around', () => {
  it('in the middle of the log', () => {
    const first = new Opened();
    for (const request of [create('/a'), create('/b')]) first.send(request);
    first.crash();
    const log = readFileSync(logFile);
    log[20] = (log[20] ?? 0) ^ 1;
    writeFileSync(logFile, log);
    expect(codeOf(() => new Opened())).toBe('DATA_DAMAGED');
  });

  it('in the snapshot', () => {
    new Opened().crash();
    truncateSync(snapshotFile, statSync(snapshotFile).size - 1);
    expect(codeOf(() => new Opened())).toBe('DATA_DAMAGED');
  });

  it('where transactions are missing', () => {
    const first = new Opened();
    first.send(create('/a'));
    first.crash();
    const lone = readFileSync(logFile);
    rmSync(logFile);
    rmSync(snapshotFile);
    // The first transaction ends where its length says.
    writeFileSync(logFile, lone.subarray(8 + lone.readUInt32BE(0)));
    expect(codeOf(() => new Opened())).toBe('DATA_DAMAGED');
  });
});

it('files stay bounded however long it runs', () => {
  const opened = new Opened(2_000);
  const sizes = [];
  for (let write = 0; write < 500; write += 1) {
    opened.send(setData('/', `${write}`.repeat(10)));
    sizes.push(statSync(logFile).size + statSync(snapshotFile).size);
  }
  expect(Math.max(...sizes)).toBeLessThan(4_000);
  opened.crash();
});

describe('a directory', () => {
  it('is one server’s at a time, and free when that closes', () => {
    const first = new Opened();
    expect(codeOf(() => new Opened())).toBe('DATA_DIR_IN_USE');
    first.persistence.close();
    expect(codeOf(() => new Opened().crash())).toBeUndefined();
  });

  it('is free again when the process that held it was killed', async () => {
    const holder = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)']);
    await once(holder, 'spawn');
    const { pid } = holder;
    writeFileSync(join(directory, 'lock'), `${pid} \n`);
    const startTime = /\) (?:\S+ ){19}(\S+)/.exec(procStat(pid))?.[1] ?? '';
    writeFileSync(join(directory, 'lock'), `${pid} ${startTime}\n`);
    expect(codeOf(() => new Opened())).toBe('DATA_DIR_IN_USE');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    expect(codeOf(() => new Opened().crash())).toBeUndefined();
  });

  it('is free where the holder’s pid has since become another process’s', () => {
    writeFileSync(join(directory, 'lock'), `${process.pid} 1\n`);
    expect(codeOf(() => new Opened().crash())).toBeUndefined();
  });

  it('that cannot be made is told', () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    directory = join(file, 'below');
    expect(codeOf(() => new Opened())).toBe('DATA_DIR_UNUSABLE');
    directory = join(file, '..');
  });

  it('that cannot be written is told', () => {
    mkdirSync(join(directory, 'snapshot.next'));
    expect(codeOf(() => new Opened())).toBe('DATA_DIR_UNUSABLE');
  });
});

/** Empty where the system has no /proc; there a pid alone tells a holder. */
function procStat(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8');
  } catch {
    return '';
  }
}
