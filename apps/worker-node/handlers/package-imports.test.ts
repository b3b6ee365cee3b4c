import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const REPOSITORY = resolve(import.meta.dirname, '../../..');
const IMPORT = `import { RetryLater, Type, defineHandler } from 'partitioned-task-scheduler/handlers';`;

/** By Node itself, which the test's own imports do not go by. */
describe('handlers outside of the repository', { timeout: 60_000 }, () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'handlers-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const write = (file: string, text: string) => writeFile(join(directory, file), text);
  const run = async () => {
    const script = ['bin/run.mjs', 'apps/worker-node/testing/run-handlers.ts', directory];
    const { stdout } = await promisify(execFile)(process.execPath, script, { cwd: REPOSITORY });
    return JSON.parse(stdout) as unknown;
  };

  it('import from the package by its name, whatever the language and in a thread as well', async () => {
    await write('_words.ts', `export const greeting: string = 'Hello';`);
    await write(
      'typed.ts',
      `${IMPORT} import { greeting } from './_words.ts';
       export default defineHandler({ name: 'typed', payload: Type.Object({ who: Type.String() }),
         run: ({ payload }) => \`\${greeting}, \${payload.who}!\` });`,
    );
    await write('plain.mjs', `${IMPORT} export default defineHandler({ name: 'plain', run: () => 1 });`);
    await write('plainer.js', `${IMPORT} export default defineHandler({ name: 'plainer', run: () => 2 });`);
    await write(
      'threaded.ts',
      `${IMPORT} import { greeting } from './_words.ts'; import { isMainThread } from 'node:worker_threads';
       export default defineHandler({ name: 'threaded', isolation: 'thread', run: () => [greeting, isMainThread] });`,
    );
    expect(await run()).toEqual({
      ...{ plain: '1', plainer: '2', typed: '"Hello, Ada!"', threaded: '["Hello",false]' },
    });
  });

  it('are modules by what they say, though npm has written that they are none', async () => {
    await write('package.json', '{"type": "commonjs"}');
    await write(
      'a.ts',
      `${IMPORT} const result: number = 1; export default defineHandler({ name: 'a', run: () => result });`,
    );
    await write('b.js', `${IMPORT} export default defineHandler({ name: 'b', run: () => 2 });`);
    expect(await run()).toEqual({ a: '1', b: '2' });
  });

  it('may import what their own tests do, and from packages of the older kind', async () => {
    await mkdir(join(directory, 'node_modules/old'), { recursive: true });
    await write('node_modules/old/index.js', `// import is no word of its\nmodule.exports = { old: true };`);
    await write(
      'a.ts',
      `${IMPORT} import { testHandler } from 'partitioned-task-scheduler/testing'; import old from 'old';
       export default defineHandler({ name: 'a', run: () => [typeof testHandler, old] });`,
    );
    expect(await run()).toEqual({ a: '["function",{"old":true}]' });
  });
});
