import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ZooKeeperServerError, systemErrorCode } from './errors.ts';

const ATTEMPTS = 3;

/**
 * Takes `directory` for this process by a file that names its holder. A holder that is dead is no holder: a
 * killed server must not need a hand to start again.
 *
 * @returns the function that gives the directory back
 * @throws ZooKeeperServerError DATA_DIR_IN_USE, or DATA_DIR_UNUSABLE where it cannot be written
 */
export function lockDirectory(directory: string): () => void {
  const file = join(directory, 'lock');
  const holder = `${process.pid} ${startTimeOf(process.pid)}\n`;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    try {
      writeFileSync(file, holder, { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') {
        const message = `cannot write to ${directory}: ${systemErrorCode(error)}`;
        throw new ZooKeeperServerError('DATA_DIR_UNUSABLE', message, error);
      }
    }
    removeIfStale(file, directory);
  }
  throw new ZooKeeperServerError('DATA_DIR_IN_USE', `${directory} is being taken by another server`);
}

/** Renames before it removes, so that of two that find the same dead holder one cannot remove the other's lock. */
function removeIfStale(file: string, directory: string): void {
  const found = read(file);
  const pid = Number.parseInt(found, 10);
  if (isAlive(found)) {
    throw new ZooKeeperServerError('DATA_DIR_IN_USE', `${directory} is in use by the server with pid ${pid}`);
  }
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw new ZooKeeperServerError('DATA_DIR_UNUSABLE', `cannot write to ${directory}`, error);
  }
  const removed = read(aside);
  if (removed === found) rmSync(aside, { force: true });
  else renameSync(aside, file);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** `holder` is `<pid> <start time>`; a pid alone may since have been given to another process. */
function isAlive(holder: string): boolean {
  const [pidText = '', startTime = ''] = holder.trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemErrorCode(error) === 'ESRCH') return false;
  }
  return startTimeOf(pid) === startTime;
}

/** In clock ticks since boot where the system tells (Linux), else empty. */
function startTimeOf(pid: number): string {
  // The second field, the command's name in parentheses, may hold spaces: count from behind it.
  const afterName = read(`/proc/${pid}/stat`).split(') ').at(-1) ?? '';
  return afterName.split(' ')[19] ?? '';
}
