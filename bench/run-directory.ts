/** Where a run keeps its data: on a disk, and for as long as it runs. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive } from '../libs/embedded/postmaster.ts';

// Not below the system's temporary directory, which may lie in memory: there, durable costs nothing.
const DATA = join(import.meta.dirname, '.data');
const NAME = /^run-(\d+)$/;

/** Makes a directory for this process, and removes those of runs that were killed. */
export async function makeRunDirectory(): Promise<string> {
  await mkdir(DATA, { recursive: true });
  for (const name of await readdir(DATA)) {
    const pid = Number(NAME.exec(name)?.[1] ?? process.pid);
    if (!isAlive(pid)) await removeRunDirectory(join(DATA, name));
  }
  const dir = join(DATA, `run-${process.pid}`);
  await mkdir(dir);
  return dir;
}

export function removeRunDirectory(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}
