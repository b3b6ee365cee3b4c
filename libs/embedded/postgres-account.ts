/** Who the server runs as, and whether that account can reach its files. Postgres refuses to run as root. */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { StartupError } from '../runtime/app-process.ts';

/** The account a child process is started under. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The account to start the server under, `undefined` for our own. As root: whoever owns the data already, else
 * `postgres` where there is such an account, else `nobody`, which there always is. Nothing is added to the system.
 */
export async function serverAccount(pgData: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(pgData).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const name of ['postgres', 'nobody']) {
    const account = await lookUp(name);
    if (account !== undefined) return account;
  }
  throw new StartupError(
    'Postgres does not run as root, and there is neither a postgres nor a nobody account',
  );
}

async function lookUp(name: string): Promise<Account | undefined> {
  const run = promisify(execFile);
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/** @throws StartupError naming the directory on the way to `path` that `account` may not pass */
export async function requireTraversable(path: string, account: Account): Promise<void> {
  const { uid, gid, mode } = await stat(path);
  const needed = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
  if ((mode & needed) === 0) {
    throw new StartupError(
      `run as root, Postgres drops to uid ${account.uid}, which may not enter ${path}: ` +
        `allow it (chmod o+x ${path}), use a directory elsewhere, or run as an ordinary user`,
    );
  }
  if (dirname(path) !== path) await requireTraversable(dirname(path), account);
}
