import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { postgresOwnershipStore } from '../../../libs/db/postgres-ownership-store.ts';
import { openLossyPostgres } from '../../../libs/testing/lossy-postgres.ts';
import type { LossyPostgres } from '../../../libs/testing/lossy-postgres.ts';
import { eventually } from '../../../libs/testing/eventually.ts';
import { useZooKeeper } from '../../../libs/testing/zookeeper-fixture.ts';
import { ParticipantBench } from '../testing/participant-under-test.ts';
import type { RunningParticipant } from '../testing/participant-under-test.ts';

const SESSION_TIMEOUT_MS = 1_200;

describe('a keeper whose connection is cut in place of a reply', () => {
  const zookeeper = useZooKeeper({ tickTimeMs: 200, sessionTimeoutMs: 4_000 });
  let bench: ParticipantBench;
  let network: LossyPostgres;
  let w1: RunningParticipant;
  let incarnation: string;
  beforeEach(async () => {
    bench = await ParticipantBench.open({
      zk: await zookeeper.connect(),
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
    });
    network = await openLossyPostgres(bench.url);
    const store = postgresOwnershipStore({ db: network.pool });
    w1 = bench.start({ workerId: 'w1', connectString: zookeeper.server.connectString, store });
    incarnation = await bench.joined('w1');
  });
  afterEach(async () => {
    await w1.participant.leave();
    await w1.participant.finish();
    await network.close();
    await bench.close();
  });

  const granted = async (parts: Record<number, number>) =>
    bench.acknowledged(
      'w1',
      incarnation,
      await bench.grant('w1', incarnation, parts),
      ({ owned, releasing }) =>
        releasing.length === 0 && Object.keys(owned).join() === Object.keys(parts).join(),
    );

  it('acquire: it owns what it was granted, under that epoch', async () => {
    const lost = network.loseReplyTo('acquire-partitions');
    const ack = await granted({ 0: 5, 3: 5 });
    await lost;
    expect(ack).toMatchObject({ owned: { 0: 5, 3: 5 }, fenced: {} });
    expect(await bench.owners()).toEqual({ 0: 'w1', 3: 'w1' });
    expect(w1.held().map(({ partition, epoch }) => [partition, epoch])).toEqual([
      [0, 5],
      [3, 5],
    ]);
  });

  it('release: it acknowledges when it knows that the row is free, and keeps the rest', async () => {
    await granted({ 0: 5, 3: 5 });
    const lost = network.loseReplyTo('release-partitions');
    const ack = await granted({ 3: 5 });
    await lost;
    expect(ack.owned).toEqual({ 3: 5 });
    expect(await bench.owners()).toEqual({ 3: 'w1' });
  });

  it('renew: the lease lives on', async () => {
    await granted({ 0: 5 });
    for (let i = 0; i < 3; i += 1) {
      await network.loseReplyTo('renew-sessions');
      expect(await bench.leases()).toEqual([incarnation]);
    }
    await eventually('it is renewed', async () => (await bench.leases()).length === 1, { withinMs: 2_000 });
    expect(w1.fatal()).toBeUndefined();
    expect(await bench.incarnations('w1')).toEqual([incarnation]);
  });

  it('ack: the controller hears of it all the same', async (context) => {
    const { faults } = zookeeper.server;
    context.skip(faults === undefined, 'only the embedded server can lose a chosen reply');
    const lost = faults?.dropNextReply(
      (request) => request.type === 'setData' && request.path === bench.paths.ackOf('w1', incarnation),
    );
    expect(await granted({ 0: 5, 3: 5 })).toMatchObject({ owned: { 0: 5, 3: 5 } });
    await lost;
    expect(await granted({ 3: 5 })).toMatchObject({ owned: { 3: 5 } });
    expect(await bench.incarnations('w1')).toEqual([incarnation]);
  });
});
