import { ProjectContestant } from '../contestants/project.ts';
import { pause } from '../processes.ts';
import { wallMs } from '../wall-clock.ts';
import type { Measured, Scenario } from './scenario.ts';

const TASKS = 200;
const SLEEP_MS = 12_000;
/** A third of the lease, by default. */
const RENEWAL_MS = 4_000 / 3;
const POLL_MS = 100;
const DEADLINE_MS = 60_000;

const FIRST = 'first ms';
const LAST = 'last ms';

export const recoveryScenario: Scenario = {
  name: 'recovery',
  onRequest: true,
  contestants: ['project'],
  title: 'From the SIGKILL of a worker until its tasks start elsewhere',
  method: () =>
    `Two workers run ${TASKS} tasks of ${SLEEP_MS / 1_000} s; one of them is killed, at any moment. The clock runs from ` +
    'then until the first and the last of its tasks start in the other. Promised: the session timeout T (4 s), ' +
    'a tick (0.5 s) and 1 s.',
  measures: [
    { name: FIRST, digits: 0 },
    { name: LAST, digits: 0 },
  ],
  plan(bench) {
    const project = new ProjectContestant(bench, {
      name: 'project',
      createDatabase: () => bench.postgres.create('project'),
    });
    const subject = { name: project.name, setup: project.setup, measure: () => measure(project) };
    return { subjects: [subject], comparisons: [] };
  },
};

async function measure(project: ProjectContestant): Promise<Measured> {
  try {
    await project.start();
    await project.work();
    await project.work();
    await project.ready();
    await project.load({ count: TASKS, sleepMs: SLEEP_MS });
    await until('all tasks run', async () => (await project.starts()).length === TASKS);
    const lost = (await project.startsOf(0)).map(([sample]) => sample);
    if (lost.length === 0) throw new Error('the worker to be killed has no tasks');
    // Anywhere between two renewals of its lease.
    await pause(Math.random() * RENEWAL_MS);
    const killedAtMs = wallMs();
    await project.killWorker(0);
    const again = async () => {
      const starts = new Map(await project.startsOf(1));
      return lost.flatMap((sample) => starts.get(sample) ?? []);
    };
    await until('its tasks run again', async () => (await again()).length === lost.length);
    const afterMs = (await again()).map((atMs) => atMs - killedAtMs);
    return { [FIRST]: Math.min(...afterMs), [LAST]: Math.max(...afterMs) };
  } finally {
    await project.stop();
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}`);
    await pause(POLL_MS);
  }
}
