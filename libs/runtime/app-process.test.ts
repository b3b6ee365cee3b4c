import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);

/** An app that needs a database and says so when it has got all it needs. */
const APP = `
  const { runAppProcess } = await import(${url('app-process.ts')});
  const { readConfig } = await import(${url('config.ts')});
  const { settings } = await import(${url('settings.ts')});
  await runAppProcess('app', async ({ logger }) => {
    readConfig({ DATABASE_URL: settings.DATABASE_URL }, process.env);
    await new Promise(setImmediate);
    logger.info('at work');
  });`;

describe('the process of an app', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'app-process-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  async function run(env: NodeJS.ProcessEnv): Promise<{ code: unknown; output: string }> {
    const file = join(dir, 'app.mjs');
    await writeFile(file, APP);
    const launcher = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url));
    return new Promise((resolve) => {
      execFile(process.execPath, [launcher, file], { env }, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, output: stdout + stderr }),
      );
    });
  }

  it('ends with 0 when its work is done', async () => {
    const { code, output } = await run({ DATABASE_URL: 'postgres://db/x' });
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining('at work') as string });
  });

  it('reports what is wrong with its logger together with the rest', async () => {
    const { code, output } = await run({ LOG_LEVEL: 'loud', LOG_FORMAT: 'xml' });
    expect(code).toBe(2);
    for (const name of ['LOG_LEVEL: ', 'LOG_FORMAT: ', 'DATABASE_URL is not set'])
      expect(output).toContain(name);
    expect(output.split('invalid configuration')).toHaveLength(2);
  });

  it('does not begin its work where only its logger is wrong', async () => {
    const { code, output } = await run({ DATABASE_URL: 'postgres://db/x', LOG_LEVEL: 'loud' });
    expect(code).toBe(2);
    expect(output).toContain('LOG_LEVEL: ');
    expect(output).not.toContain('at work');
  });
});
