import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/eventually.ts';
import type { AppUnderTest } from './app-under-test.ts';
import { ClusterUnderTest, FAILOVER_MS } from './cluster-under-test.ts';

const leads = (app: AppUnderTest) => app.lines.some(({ msg }) => msg.startsWith('leading'));

describe('the leading controller is killed', () => {
  let cluster: ClusterUnderTest;
  beforeAll(async () => {
    cluster = await ClusterUnderTest.start({ workers: 2, controllers: 2 });
  });
  afterAll(() => cluster.stop());

  it('and the standby leads within T + tick + 1 s, while tasks go on being handled', async () => {
    const [leader, standby] = ['controller-1', 'controller-2']
      .map((name) => cluster.app(name))
      .sort((a, b) => Number(leads(b)) - Number(leads(a)));
    if (leader === undefined || standby === undefined) throw new Error('two controllers were started');
    expect([leads(leader), leads(standby)]).toEqual([true, false]);

    const killedAtMs = Date.now();
    await leader.kill();
    let took: number | undefined;
    const latencies: number[] = [];
    while (took === undefined) {
      const sentAtMs = Date.now();
      const { id } = await cluster.submit({ name: 'meanwhile' });
      const start = await eventually('it is handled without a controller', () => cluster.startsOf(id)[0], {
        withinMs: 3_000,
      });
      latencies.push(start.timeMs - sentAtMs);
      if (leads(standby)) took = Date.now() - killedAtMs;
      if (Date.now() - killedAtMs > 3 * FAILOVER_MS) throw new Error('the standby never led');
    }
    expect(took).toBeLessThanOrEqual(FAILOVER_MS);
    expect(Math.max(...latencies)).toBeLessThan(1_500);

    cluster.startWorker('worker-3');
    expect(await cluster.balanced(3)).toEqual([21, 21, 22]);
    cluster.expectNoDoubleStarts();
  });
});
