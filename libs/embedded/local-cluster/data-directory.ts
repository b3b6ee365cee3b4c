import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StartupError } from '../../runtime/app-process.ts';
import { lockDirectory } from '../zookeeper/directory-lock.ts';
import { ZooKeeperServerError, systemErrorCode } from '../zookeeper/errors.ts';

/**
 * Creates `dir` where it is missing, and keeps it for this process; a former holder that was killed does not
 * stand in the way.
 *
 * @returns the function that gives the directory back
 * @throws StartupError with one line for the user: in use, or not writable
 */
export async function lockDataDirectory(dir: string): Promise<() => void> {
  try {
    await makeDirectory(dir);
    return lockDirectory(dir);
  } catch (error) {
    const what =
      error instanceof ZooKeeperServerError ? error.message : `cannot make ${dir}: ${reason(error)}`;
    throw new StartupError(`data directory: ${what}; choose another with --data`);
  }
}

/**
 * `mkdir -p`. Node's own, with `recursive`, never ends where an ancestor exists and yet nothing can be made in it
 * for want of it (ENOENT), as under /proc; nor can it be interrupted.
 */
async function makeDirectory(dir: string): Promise<void> {
  if (await isDirectory(dir)) return;
  const parent = dirname(dir);
  if (parent !== dir) await makeDirectory(parent);
  try {
    await mkdir(dir);
  } catch (error) {
    // Someone else may have made it in between.
    if (!(await isDirectory(dir))) throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

function reason(error: unknown): string {
  switch (systemErrorCode(error)) {
    case 'EACCES':
    case 'EPERM':
      return 'no permission';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ENOENT':
      return 'its file system takes no directories';
    case 'EEXIST':
    case 'ENOTDIR':
      return 'it is, or lies under, a file';
    default:
      return (error as Error).message;
  }
}
