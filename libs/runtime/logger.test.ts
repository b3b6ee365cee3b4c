import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const logger = JSON.stringify(new URL('logger.ts', import.meta.url).href);
const run = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url));

/** What a process says that has a logger and does `what`, to a pipe or a file. @returns its messages, and how it ended */
async function say(
  what: string,
  to: 'pipe' | 'file' = 'pipe',
): Promise<{ messages: string[]; end: unknown }> {
  const dir = await mkdtemp(join(tmpdir(), 'logger-'));
  try {
    const file = join(dir, 'app.mjs');
    await writeFile(
      file,
      `const { createLogger } = await import(${logger});
       const logger = createLogger({ app: 'app', level: 'info', format: 'json' });
       ${what}`,
    );
    const log = join(dir, 'log');
    const opened = await open(log, 'a');
    const child = spawn(process.execPath, [run, file], {
      stdio: ['ignore', to === 'file' ? opened.fd : 'pipe', 'ignore'],
    });
    await opened.close();
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => (output += piece));
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (to === 'file') output = await readFile(log, 'utf8');
    const lines = output.split('\n').filter((line) => line !== '');
    return {
      messages: lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
      end: signal ?? code,
    };
  } finally {
    await rm(dir, { recursive: true });
  }
}

const KILLED = `process.kill(process.pid, 'SIGKILL'); for (;;);`;

it('has said everything when its process ends, however it does so itself', async () => {
  const exits = await say(`logger.info('one'); logger.info('two'); process.exit(3);`);
  expect(exits).toEqual({ messages: ['one', 'two'], end: 3 });
  const throws = await say(`logger.info('one'); throw new Error('a bug');`);
  expect(throws).toEqual({ messages: ['one'], end: 1 });
});

it('has said what was flushed, and all of earlier turns, when its process is killed', async () => {
  const { messages, end } = await say(`
    logger.info('an earlier turn');
    await new Promise(setImmediate);
    logger.info('flushed');
    logger.flush();
    logger.info('not any more');
    ${KILLED}`);
  expect({ messages, end }).toEqual({ messages: ['an earlier turn', 'flushed'], end: 'SIGKILL' });
});

it.each(['pipe', 'file'] as const)(
  'holds no more than a bounded number of lines in a long turn, to a %s',
  async (to) => {
    const { messages } = await say(
      `for (let i = 0; i < 10_000; i++) logger.info('line ' + i); ${KILLED}`,
      to,
    );
    expect(messages.length).toBeGreaterThan(9_000);
    expect(messages).toEqual(messages.map((_, i) => `line ${i}`));
  },
);
