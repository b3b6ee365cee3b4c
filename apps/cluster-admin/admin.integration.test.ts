import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapTree } from '../../libs/cluster/bootstrap.ts';
import { workerWishCodec } from '../../libs/cluster/records.ts';
import type { Move } from '../../libs/core/assignment.ts';
import { systemClock, systemRandom } from '../../libs/runtime/system.ts';
import { eventually } from '../../libs/testing/eventually.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { ClusterUnderTest, isSettled, loads } from '../controller/testing/cluster-under-test.ts';
import type { ScriptedWorker } from '../controller/testing/scripted-worker.ts';
import { administer } from './admin.ts';
import type { Administration, Answer } from './admin.ts';
import { readCommandLine } from './command-line.ts';
import type { ClusterStatus } from './status.ts';
import { updateRecord } from './update-record.ts';

const WITHIN = { withinMs: 15_000 };

let server: TestZooKeeper;
let cluster: ClusterUnderTest;
let admin: Administration;

beforeAll(async () => {
  server = await startTestZooKeeper({ shared: true });
});
afterAll(() => server.stop());
beforeEach(async () => {
  cluster = new ClusterUnderTest({ connectString: server.connectString });
  admin = {
    zk: await cluster.observer(),
    paths: cluster.paths,
    cluster: cluster.paths.root.slice(1),
    clock: systemClock,
    random: systemRandom,
  };
});
afterEach(() => cluster.close());

async function say(line: string): Promise<Answer> {
  const commandLine = readCommandLine(line.split(' '));
  if (commandLine.kind !== 'run') throw new Error(`${line}: ${commandLine.kind}`);
  return administer(admin, commandLine.command);
}
interface DryRun {
  readonly moves: readonly Move[];
  readonly afterResume: readonly Move[] | null;
}
const status = async () => (await say('status')).json as ClusterStatus;

/** Returns the first of them. */
async function startThree(): Promise<ScriptedWorker> {
  await cluster.initialise(12);
  await cluster.startController('c1');
  const [first] = [await cluster.join('w1'), await cluster.join('w2'), await cluster.join('w3')];
  await loadsBecome({ w1: 4, w2: 4, w3: 4 });
  return first;
}

const loadsBecome = (expected: Record<string, number>) =>
  eventually(
    JSON.stringify(expected),
    async () => {
      const snapshot = await cluster.snapshot();
      return isSettled(snapshot) && JSON.stringify(loads(snapshot)) === JSON.stringify(expected);
    },
    WITHIN,
  );

describe('an administrator', () => {
  it('sees the cluster', async () => {
    await startThree();
    await say('zone w9 eu');
    const seen = await status();
    expect(seen).toMatchObject({
      leader: { id: 'c1', host: 'localhost' },
      mode: 'AUTO',
      partitions: 12,
      unowned: [],
      moves: [],
    });
    expect(seen.workers.map(({ id, live, target, owned }) => ({ id, live, target, owned }))).toEqual([
      { id: 'w1', live: true, target: 4, owned: 4 },
      { id: 'w2', live: true, target: 4, owned: 4 },
      { id: 'w3', live: true, target: 4, owned: 4 },
      { id: 'w9', live: false, target: 0, owned: 0 },
    ]);
    const { text } = await say('status');
    expect(text).toMatch(/^leader +c1 on localhost since /m);
    expect(text).toMatch(/^no owner +no partition$/m);
    expect(text).toMatch(/^w9 +no +ENABLED +eu +1 /m);
  });

  it('is shown what a drain would move, and why, while the cluster is paused; resumed, it is done', async () => {
    await startThree();
    expect((await say('pause --for 10m --reason looking')).text).toMatch(
      /^mode: PAUSED until .* \(looking\)$/,
    );
    await say('drain w1');
    const [heading, resuming, ...moves] = (await say('plan --dry-run')).text.split('\n');
    expect(heading).toMatch(/^0 moves \(mode PAUSED until .* \(looking\), 3 live workers\)$/);
    expect([resuming, moves.length]).toEqual(['4 moves after resume', 4]);
    expect(moves[0]).toMatch(/^partition \d+: w1 → w2 \(w1 drains\)$/);
    await say('maintenance on');
    await loadsBecome({ w1: 0, w2: 6, w3: 6 });
    await say('enable w1');
    const { json } = await say('plan --dry-run');
    expect(json).toMatchObject({ mode: 'MAINTENANCE', until: null, reason: null, moves: [] });
    expect((json as DryRun).afterResume).toHaveLength(4);

    await say('pause');
    await expect(say('maintenance off')).rejects.toThrow('the cluster is PAUSED, not in MAINTENANCE');
    await say('resume');
    await loadsBecome({ w1: 4, w2: 4, w3: 4 });
  });

  it('gets from a dry run exactly the moves that the controller makes once resumed', async () => {
    const first = await startThree();
    await first.leave();
    await loadsBecome({ w2: 6, w3: 6 });
    await say('pause');
    await cluster.join('w1');
    const before = (await cluster.snapshot()).plan.target;
    const { moves, afterResume } = (await say('plan --dry-run')).json as DryRun;
    expect(moves).toEqual([]);
    expect(afterResume?.map(({ to }) => to)).toEqual(['w1', 'w1', 'w1', 'w1']);
    await say('resume');
    await loadsBecome({ w2: 4, w3: 4, w1: 4 });
    const { target } = (await cluster.snapshot()).plan;
    const moved = target.flatMap((to, partition) => (to === before[partition] ? [] : [{ partition, to }]));
    expect(afterResume?.map(({ partition, to }) => ({ partition, to }))).toEqual(moved);
  });

  it('gets from a dry run exactly the moves of a controller that has yet to come', async () => {
    await cluster.initialise(12);
    for (const id of ['w1', 'w2']) await cluster.join(id);
    const before = await cluster.snapshot();
    const { text, json } = await say('plan --dry-run');
    expect(text).toMatch(
      /^12 moves \(mode AUTO, 2 live workers\)\npartition 0: nobody → w1 \(it had no worker\)\n/,
    );
    expect(await cluster.snapshot()).toEqual(before);
    await cluster.startController('c1');
    await loadsBecome({ w1: 6, w2: 6 });
    const { moves } = json as DryRun;
    const { target } = (await cluster.snapshot()).plan;
    expect(moves.map(({ partition, to }) => [partition, to])).toEqual(target.map((to, p) => [p, to]));
  });

  it('may wish for a worker that is not there, and is warned', async () => {
    await cluster.initialise(12);
    expect(await say('disable w7')).toEqual({
      text: 'w7: DISABLED',
      json: { worker: 'w7', live: false, wish: 'DISABLED' },
      warnings: ['no live worker of that id: w7'],
    });
    expect((await say('weight w7 3')).text).toBe('w7: DISABLED, weight 3');
    expect((await say('tags w7 gpu,ssd')).text).toBe('w7: DISABLED, weight 3, tags gpu,ssd');
    expect((await say('weight w7 none')).text).toBe('w7: DISABLED, tags gpu,ssd');
    expect((await say('require-tag gpu')).text).toBe('mode: AUTO; required tag: gpu');
    expect((await say('maintenance on')).text).toBe('mode: MAINTENANCE; required tag: gpu');
  });

  it('is told the same as a program, by each command that changes something', async () => {
    await cluster.initialise(12);
    await cluster.join('w1');
    const told = async (line: string) => (await say(line)).json;
    const until = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string;
    const endless = { until: null, reason: null, requiredTag: null };
    expect(await told('pause')).toEqual({ mode: 'PAUSED', ...endless });
    const upgrade = { mode: 'PAUSED', until, reason: 'upgrade', requiredTag: null };
    expect(await told('pause --for 10m --reason upgrade')).toEqual(upgrade);
    expect(await told('resume')).toEqual({ mode: 'AUTO', ...endless });
    expect(await told('require-tag gpu')).toEqual({ mode: 'AUTO', ...endless, requiredTag: 'gpu' });
    const maintenance = { mode: 'MAINTENANCE', until, reason: null, requiredTag: 'gpu' };
    expect(await told('maintenance on --for 2h')).toEqual(maintenance);
    expect(await told('maintenance off')).toEqual({ mode: 'AUTO', ...endless, requiredTag: 'gpu' });
    expect(await told('drain w1')).toEqual({ worker: 'w1', live: true, wish: 'DRAIN' });
    expect(await told('enable w1')).toEqual({ worker: 'w1', live: true, wish: 'ENABLED' });
  });

  it('sees whom a partition waits for', async () => {
    await startThree();
    const { workers } = await status();
    expect(workers).toHaveLength(3);
    const dead = await cluster.join('w4');
    dead.stopObeying();
    const waiting = await eventually(
      'w4 does not acquire',
      async () => {
        const { moves } = await status();
        return moves.length === 3 && moves.every(({ waitsFor }) => waitsFor === 'ACQUIRE') && moves;
      },
      WITHIN,
    );
    expect(waiting.every(({ to }) => to === 'w4')).toBe(true);
    expect((await status()).unowned).toEqual(waiting.map(({ partition }) => partition));
  });

  it('is told where there is no cluster', async () => {
    await expect(say('status')).rejects.toThrow(`no cluster ${admin.cluster} in this ZooKeeper`);
  });
});

describe('a change of a record', () => {
  it('loses no change that another makes at the same time', async () => {
    await cluster.initialise(1);
    const others = await Promise.all([0, 1, 2, 3].map(() => cluster.connect()));
    const path = cluster.paths.worker('w1');
    await Promise.all(
      others.map((zk, i) =>
        updateRecord(
          { ...admin, zk },
          {
            path,
            codec: workerWishCodec,
            change: (current) => ({ ...current, tags: [...(current?.tags ?? []), `t${i}`] }),
          },
        ),
      ),
    );
    const { data } = await admin.zk.getData(path);
    expect(workerWishCodec.decode(data, path).tags?.toSorted()).toEqual(['t0', 't1', 't2', 't3']);
  });
});

describe('npm run cluster', () => {
  const command = (...args: string[]) => commandWith({}, ...args);
  const commandWith = (settings: Record<string, string>, ...args: string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const main = fileURLToPath(new URL('main.ts', import.meta.url));
      const bin = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url));
      const env = {
        ...process.env,
        ZOOKEEPER_CONNECT: server.connectString,
        CLUSTER_NAME: admin.cluster,
        ...settings,
      };
      execFile(process.execPath, [bin, main, ...args], { env }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      });
    });

  it('answers as a process: 0 done, 1 failed, 2 wrong usage, each with a line', async () => {
    const [missing, wrong] = await Promise.all([command('status'), command('statsu')]);
    expect(missing).toEqual({
      code: 1,
      stdout: '',
      stderr: `no cluster ${admin.cluster} in this ZooKeeper: see CLUSTER_NAME\n`,
    });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/^no command "statsu": did you mean status\? .*\n$/);
    await cluster.initialise(4);
    const done = await command('drain', 'w1', '--json');
    expect(done).toMatchObject({ code: 0, stderr: 'warning: no live worker of that id: w1\n' });
    expect(JSON.parse(done.stdout)).toEqual({ worker: 'w1', live: false, wish: 'DRAIN' });
  });

  it('with ZOOKEEPER_AUTH changes what is reserved to it; others are told in a line whose it is', async () => {
    const owner = await cluster.connect(undefined, { user: 'scheduler', password: 'secret' });
    await bootstrapTree(owner, cluster.paths, { uid: randomUUID(), partitions: 4 });
    const [right, wrong, none] = await Promise.all([
      commandWith({ ZOOKEEPER_AUTH: 'scheduler:secret' }, 'drain', 'w1'),
      commandWith({ ZOOKEEPER_AUTH: 'scheduler:guessed' }, 'drain', 'w2'),
      commandWith({ ZOOKEEPER_AUTH: '' }, 'pause'),
    ]);
    expect(right).toEqual({
      code: 0,
      stdout: 'w1: DRAIN\n',
      stderr: 'warning: no live worker of that id: w1\n',
    });
    const { paths } = cluster;
    const refused = (what: string) => ({ code: 1, stdout: '', stderr: `no right to ${what}\n` });
    expect(wrong).toEqual(refused(`create ${paths.worker('w2')}: reserved to others than ZOOKEEPER_AUTH`));
    expect(none).toEqual(
      refused(`setData ${paths.mode}: reserved to credentials, and ZOOKEEPER_AUTH is not set`),
    );
    expect([...(await cluster.snapshot()).wishes.keys()]).toEqual(['w1']);
  });
});
