import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../runtime/system.ts';
import type { ProcessSpec } from './supervised-process.ts';
import { Supervisor } from './supervisor.ts';

/** Says that it is up, and once more when it is told to stop. */
const OBEDIENT = `
  process.on('SIGTERM', () => { console.log('stopping'); process.exit(0); });
  setInterval(() => {}, 1_000);
  console.log('up');`;
const STUBBORN = OBEDIENT.replace('process.exit(0)', '');

describe('the supervisor', () => {
  let dir: string;
  let supervisor: Supervisor;
  let lines: string[];
  let onLine: () => void;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'supervisor-'));
    lines = [];
    onLine = () => undefined;
    const output = {
      line(process: string, text: string) {
        lines.push(`${process}: ${text}`);
        onLine();
      },
      say: () => undefined,
    };
    supervisor = new Supervisor({ output, clock: systemClock, stopGraceMs: 1_000 });
  });
  afterEach(async () => {
    supervisor.kill();
    await supervisor.stop();
    await rm(dir, { recursive: true, force: true });
  });

  async function spec(name: string, script: string): Promise<ProcessSpec> {
    const file = join(dir, `${name}.mjs`);
    await writeFile(file, script);
    return { name, file };
  }
  function seen(line: string): Promise<void> {
    return new Promise((resolve) => {
      onLine = () => {
        if (lines.includes(line)) resolve();
      };
      onLine();
    });
  }

  it('stops what was started last first, and all of one stage together', async () => {
    supervisor.start([await spec('database', OBEDIENT)]);
    supervisor.start([await spec('worker-1', OBEDIENT), await spec('worker-2', OBEDIENT)]);
    for (const name of ['database', 'worker-1', 'worker-2']) await seen(`${name}: up`);
    lines = [];
    await supervisor.stop();
    expect(lines.toSorted()).toEqual(['database: stopping', 'worker-1: stopping', 'worker-2: stopping']);
    expect(lines.at(-1)).toBe('database: stopping');
  });

  it('says which service ended by itself, and how', async () => {
    const [, second] = supervisor.start([
      await spec('worker-1', OBEDIENT),
      await spec('worker-2', `process.kill(process.pid, 'SIGKILL');`),
    ]);
    expect(await supervisor.fault).toBe('worker-2 was killed by SIGKILL');
    expect(await second?.ended).toBe('was killed by SIGKILL');
  });

  it('reports the last words of a service that fails', async () => {
    supervisor.start([await spec('worker-1', `console.error('no database'); process.exit(3);`)]);
    expect(await supervisor.fault).toBe('worker-1 exited with code 3');
    expect(lines).toEqual(['worker-1: no database']);
  });

  it('kills what does not stop in time', async () => {
    const [stubborn] = supervisor.start([await spec('stubborn', STUBBORN)]);
    await seen('stubborn: up');
    await supervisor.stop();
    expect(lines).toContain('stubborn: stopping');
    expect(await stubborn?.ended).toBe('was killed by SIGKILL');
  });

  it('runs a job to its end, and tells a failed one from a good one', async () => {
    await supervisor.run(await spec('good', `console.log('done');`));
    expect(lines).toEqual(['good: done']);
    const bad = supervisor.run(await spec('bad', 'process.exitCode = 2;'));
    await expect(bad).rejects.toThrow('bad exited with code 2');
  });

  it('starts nothing any more once it stops', async () => {
    const late = await spec('late', OBEDIENT);
    await supervisor.stop();
    expect(() => supervisor.start([late])).toThrow('stopped while starting');
  });
});
