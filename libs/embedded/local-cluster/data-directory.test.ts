import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDataDirectory } from './data-directory.ts';

describe('the lock on a data directory', () => {
  let parent: string;
  let dir: string;
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'data-directory-'));
    dir = join(parent, 'made/on/demand');
  });
  afterEach(() => rm(parent, { recursive: true, force: true }));

  it('lets one process in, and the next once it is released', async () => {
    const lock = await lockDataDirectory(dir);
    await expect(lockDataDirectory(dir)).rejects.toThrow(`${dir} is in use by process ${process.pid}`);
    await lock.release();
    await (await lockDataDirectory(dir)).release();
  });

  it('is not kept by a process that is gone, even where its pid and port have others now', async () => {
    await (await lockDataDirectory(dir)).release();
    const stranger = createServer((socket) => socket.end('220 mail.example.org ESMTP')).listen(
      0,
      '127.0.0.1',
    );
    await new Promise((resolve) => stranger.once('listening', resolve));
    const { port } = stranger.address() as AddressInfo;
    await writeFile(join(dir, 'lock'), JSON.stringify({ pid: process.pid, port, token: 'of the dead' }));
    await (await lockDataDirectory(dir)).release();
    await new Promise((resolve) => stranger.close(resolve));
  });

  it('is not kept by half a lock file', async () => {
    await (await lockDataDirectory(dir)).release();
    await writeFile(join(dir, 'lock'), '{"pid": 1');
    await (await lockDataDirectory(dir)).release();
  });

  it('says so where the directory cannot be made', async () => {
    await writeFile(join(parent, 'file'), '');
    await expect(lockDataDirectory(join(parent, 'file/data'))).rejects.toThrow('lies under, a file');
  });
});
