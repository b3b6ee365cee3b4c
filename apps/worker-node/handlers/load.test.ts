import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StartupError } from '../../../libs/runtime/app-process.ts';
import { loadHandlers } from './load.ts';

const HANDLERS = new URL('../../../libs/handlers/index.ts', import.meta.url).href;

describe('the handlers of a directory', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'handlers-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const write = (file: string, text: string) => writeFile(join(directory, file), text);
  const handler = (name: string) =>
    `import { defineHandler } from '${HANDLERS}'; export default defineHandler({ name: '${name}', run() {} });`;
  const loaded = async () => [...(await loadHandlers(directory, false)).handlers.keys()];
  const refusal = async (mayBeMissing = false) => {
    const error: unknown = await loadHandlers(directory, mayBeMissing).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StartupError);
    return (error as Error).message;
  };

  it('are its modules, each by the name of its tasks', async () => {
    await write('a.ts', `${handler('first')} const typed: number = 1; void typed;`);
    await write('b.mjs', handler('second'));
    await write('c.js', handler('third'));
    expect(await loaded()).toEqual(['first', 'second', 'third']);
  });

  it('are not its types, tests, notes and what begins with a dot or an underscore', async () => {
    for (const file of ['a.d.ts', 'a.test.ts', 'README.md', 'data.json', '.hidden.ts', '_shared.ts'])
      await write(file, 'throw new Error()');
    expect(await loaded()).toEqual([]);
  });

  it('are not other files and folders, of which those are named that look as if they were', async () => {
    for (const file of ['a.cjs', 'b.cts', 'c.tsx', 'd.d.cts', '_e.cjs', 'f.test.cjs'])
      await write(file, 'throw new Error()');
    for (const folder of ['more', '.git', 'node_modules', '_shared']) await mkdir(join(directory, folder));
    const { handlers, ignored } = await loadHandlers(directory, false);
    expect([handlers.size, ignored]).toEqual([0, ['a.cjs', 'b.cts', 'c.tsx', 'more/']]);
  });

  it('of the repository load', async () => {
    const own = new URL('../../../handlers', import.meta.url).pathname;
    expect([...(await loadHandlers(own, false)).handlers.keys()].sort()).toEqual(['call-url', 'word-count']);
  });

  it('may be missing where nobody has asked for them', async () => {
    await rm(directory, { recursive: true });
    expect((await loadHandlers(directory, true)).handlers.size).toBe(0);
    expect(await refusal()).toMatch(/^HANDLERS_DIR cannot be read: ENOENT/);
    directory = await mkdtemp(join(tmpdir(), 'handlers-'));
  });

  it('are refused where one does not load, naming it', async () => {
    await write('broken.ts', 'export default (;');
    expect(await refusal()).toContain(`${join(directory, 'broken.ts')} cannot be loaded: `);
    await write('broken.ts', `throw new Error('no licence');`);
    expect(await refusal()).toContain('broken.ts cannot be loaded');
  });

  it('are refused where one is no handler', async () => {
    await write('a.ts', `export default { name: 'x', run() {} };`);
    expect(await refusal()).toBe(`${join(directory, 'a.ts')} has no default export made by defineHandler()`);
  });

  it('are refused where one is defined wrongly', async () => {
    await write(
      'a.ts',
      `import { defineHandler } from '${HANDLERS}'; export default defineHandler({ name: 'x', concurrency: 0, run() {} });`,
    );
    expect(await refusal()).toBe(
      `${join(directory, 'a.ts')} cannot be loaded: concurrency must be a whole number from 1 to 9007199254740991`,
    );
  });

  it('are refused where two are of one name, naming both', async () => {
    await write('a.ts', handler('same'));
    await write('b.ts', handler('same'));
    expect(await refusal()).toBe(
      `${join(directory, 'a.ts')} and ${join(directory, 'b.ts')} both handle tasks named 'same'`,
    );
  });
});
