import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDataDirectory } from './data-directory.ts';

describe('the data directory', () => {
  let parent: string;
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'data-directory-'));
  });
  afterEach(() => rm(parent, { recursive: true, force: true }));

  it('is made on demand, belongs to one at a time, and to the next once it is given back', async () => {
    const dir = join(parent, 'made/on/demand');
    const release = await lockDataDirectory(dir);
    await expect(lockDataDirectory(dir)).rejects.toThrow(
      `${dir} is in use by the server with pid ${process.pid}`,
    );
    release();
    (await lockDataDirectory(dir))();
  });

  it('cannot lie under a file, and says so', async () => {
    await writeFile(join(parent, 'file'), '');
    await expect(lockDataDirectory(join(parent, 'file/data'))).rejects.toThrow('lies under, a file');
  });

  it('is made by two at once, for one of them', async () => {
    const dir = join(parent, 'made/at/once');
    const both = await Promise.allSettled([lockDataDirectory(dir), lockDataDirectory(dir)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  it.runIf(process.platform === 'linux')('cannot lie where no directories can be made', async () => {
    await expect(lockDataDirectory('/proc/data/scheduler')).rejects.toThrow(
      'cannot make /proc/data/scheduler: its file system takes no directories',
    );
  });
});
