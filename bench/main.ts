/**
 * `npm run bench`, on whatever Node there is: reads the command line, installs what is missing, and hands over to
 * the Node that all measured processes run on.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { BenchOptions } from './command-line.ts';
import { readCommandLine } from './command-line.ts';
import { CONTESTANTS } from './contestants.ts';
import { NODE, install } from './install.ts';
import { SCENARIOS } from './scenarios.ts';

const known = { scenarios: SCENARIOS, contestants: CONTESTANTS };
const commandLine = readCommandLine(process.argv.slice(2), known);
switch (commandLine.kind) {
  case 'help':
    console.log(commandLine.text);
    break;
  case 'invalid':
    console.error(`${commandLine.message}\n(npm run bench -- --help lists what can be said)`);
    process.exitCode = 2;
    break;
  case 'run':
    process.exitCode = await run(commandLine.options);
}

async function run(options: BenchOptions): Promise<number> {
  try {
    await install(console.log);
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
  return handOver(options);
}

async function handOver(options: BenchOptions): Promise<number> {
  const benchmark = spawn(NODE, [join(import.meta.dirname, 'benchmark.ts'), JSON.stringify(options)], {
    stdio: 'inherit',
  });
  // Ctrl-C reaches both of us: it is for the other to act on. What reaches only us is passed on.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => benchmark.kill('SIGTERM'));
  return new Promise((resolve, reject) => {
    benchmark.once('error', reject).once('exit', (code) => resolve(code ?? 1));
  });
}
