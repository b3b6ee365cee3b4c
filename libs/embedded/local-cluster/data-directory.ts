import { mkdir } from 'node:fs/promises';
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
    await mkdir(dir, { recursive: true });
    return lockDirectory(dir);
  } catch (error) {
    const what =
      error instanceof ZooKeeperServerError ? error.message : `cannot make ${dir}: ${reason(error)}`;
    throw new StartupError(`data directory: ${what}; choose another with --data`);
  }
}

function reason(error: unknown): string {
  switch (systemErrorCode(error)) {
    case 'EACCES':
    case 'EPERM':
      return 'no permission';
    case 'EROFS':
      return 'the file system is read-only';
    case 'EEXIST':
    case 'ENOTDIR':
      return 'it is, or lies under, a file';
    default:
      return (error as Error).message;
  }
}
