import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Leadership } from '../../libs/cluster/election.ts';
import { termCodec } from '../../libs/cluster/records.ts';
import { assign } from '../../libs/core/assignment.ts';
import { transition } from '../../libs/core/transition.ts';
import type { Transition } from '../../libs/core/transition.ts';
import { startTestZooKeeper } from '../../libs/testing/zookeeper.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { publish } from './publish.ts';
import type { PublishResult } from './publish.ts';
import type { Snapshot } from './snapshot.ts';
import { ClusterUnderTest, grantsByPartition } from './testing/cluster-under-test.ts';

const WORKERS = ['a', 'b', 'c', 'd'];

let server: TestZooKeeper;
let cluster: ClusterUnderTest;

beforeAll(async () => {
  server = await startTestZooKeeper();
});
afterAll(() => server.stop());
beforeEach(async () => {
  cluster = new ClusterUnderTest({ connectString: server.connectString });
  await cluster.initialise(64);
  for (const id of WORKERS) await cluster.join(id);
});
afterEach(() => cluster.close());

const leadership = (term: number): Leadership => ({
  term,
  valid: () => true,
  lost: new AbortController().signal,
});

/** The first step of a cluster in which nothing has been granted yet. */
function firstStep(snapshot: Snapshot): Transition {
  const workers = WORKERS.map((id) => ({ id }));
  const { target } = assign(snapshot.plan.target, workers, { balance: true });
  return transition({ ...snapshot, target, overdue: () => false });
}

async function publishFirstStep(
  snapshot: Snapshot,
  options: { leadership?: Leadership; maxBytes?: number } = {},
): Promise<PublishResult> {
  return publish({
    zk: await cluster.observer(),
    paths: cluster.paths,
    leadership: options.leadership ?? leadership(0),
    snapshot,
    next: firstStep(snapshot),
    retired: [],
    operation: 'this one',
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
  });
}

describe('publishing', () => {
  it('writes the plan and its grants', async () => {
    expect(await publishFirstStep(await cluster.snapshot())).toBe('PUBLISHED');
    const after = await cluster.snapshot();
    expect(after.plan.rev).toBe(1);
    expect(grantsByPartition(after)).toEqual(after.plan.target.map((worker) => `${worker ?? ''}@1`));
  });

  it('is refused, and changes nothing, once another term has begun', async () => {
    const before = await cluster.snapshot();
    const zk = await cluster.observer();
    await zk.setData(cluster.paths.term, termCodec.encode({ leader: 'another', operation: 'x' }), -1);
    expect(await publishFirstStep(before)).toBe('SUPERSEDED');
    expect(await cluster.snapshot()).toEqual(before);
  });

  it('does not even try without a leadership that holds', async () => {
    const before = await cluster.snapshot();
    const over = { ...leadership(0), valid: () => false };
    expect(await publishFirstStep(before, { leadership: over })).toBe('SUPERSEDED');
    expect(await cluster.snapshot()).toEqual(before);
  });

  it('is refused where the plan is no longer the one it was worked out from', async () => {
    const before = await cluster.snapshot();
    await publishFirstStep(before);
    const { plan, grants } = await cluster.snapshot();
    expect(await publishFirstStep(before)).toBe('STALE');
    expect(await cluster.snapshot()).toMatchObject({ plan, grants });
  });

  it('splits what is too large for one multi, and each part is conditional on the term', async () => {
    const before = await cluster.snapshot();
    expect(await publishFirstStep(before, { maxBytes: 600 })).toBe('PUBLISHED');
    const after = await cluster.snapshot();
    expect(grantsByPartition(after)).toEqual(after.plan.target.map((worker) => `${worker ?? ''}@1`));
  });

  it('cut off between two parts, leaves what the next leader completes at higher epochs', async () => {
    let parts = 0;
    const untilTheThird = { ...leadership(0), valid: () => ++parts < 3 };
    const options = { leadership: untilTheThird, maxBytes: 600 };
    expect(await publishFirstStep(await cluster.snapshot(), options)).toBe('SUPERSEDED');
    const between = await cluster.snapshot();
    const granted = grantsByPartition(between);
    expect(granted).toContain('-');
    expect(granted.some((grant) => grant !== '-')).toBe(true);

    expect(await publishFirstStep(between)).toBe('PUBLISHED');
    const after = await cluster.snapshot();
    expect(grantsByPartition(after)).toEqual(
      granted.map((grant, partition) => (grant === '-' ? `${after.plan.target[partition] ?? ''}@2` : grant)),
    );
  });

  it('says so when the reply is lost, and can be recognised by its operation', async (context) => {
    const { faults } = server;
    if (faults === undefined) return context.skip('needs fault controls');
    const before = await cluster.snapshot();
    const lost = faults.dropNextReply((request) => request.type === 'multi');
    expect(await publishFirstStep(before)).toBe('UNKNOWN');
    await lost;
    const after = await cluster.snapshot();
    expect(after.planOperation).toBe('this one');
  });
});
