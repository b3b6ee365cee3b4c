import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Mode } from '../../libs/cluster/records.ts';
import { Guard } from './guard.ts';
import type { Snapshot } from './snapshot.ts';

const WINDOW_MS = 4_000;
const ids = Array.from({ length: 12 }, (_, i) => `w${i}`);

/** Twelve workers that hold one partition each, and the first `lost` of them gone without a word. */
function clusterAfter(
  lost: number,
  mode: Mode = { mode: 'AUTO' },
  quarantined: [string, number][] = [],
): Snapshot {
  return {
    meta: { uid: 'u', partitions: ids.length },
    mode,
    modeVersion: 0,
    plan: { rev: 1, target: ids, epoch: ids.map(() => 1) },
    ages: ids.map(() => 0),
    planVersion: 1,
    planOperation: '',
    quarantined: new Map(quarantined),
    live: new Map(ids.slice(lost).map((id) => [id, 'i'])),
    selves: new Map(),
    wishes: new Map(),
    grants: new Map(
      ids.map((id, i) => [id, { incarnation: 'i', rev: 1, parts: { [i]: 1 }, revoked: {}, version: 0 }]),
    ),
    acks: new Map(),
    farewells: new Set(),
  };
}

function start() {
  const log: string[] = [];
  const write = (line: string) => log.push((JSON.parse(line) as { msg: string }).msg);
  const guard = new Guard(pino({ level: 'info' }, { write }));
  const observe = (snapshot: Snapshot, atMs: number) =>
    guard.observe(snapshot, { monotonicMs: atMs, wallMs: 1_000_000 + atMs }, WINDOW_MS);
  return { log, observe };
}

describe('the guard', () => {
  it('says once what mode it brings about, however often that has to be written', () => {
    const { log, observe } = start();
    for (const atMs of [0, 100, 200]) expect(observe(clusterAfter(5), atMs).modeChanged).toBe(true);
    const { mode } = observe(clusterAfter(6), 300);
    observe(clusterAfter(6, mode), 400);
    const said = ['MAINTENANCE for 300 s: 5 of 12 workers were lost within 4000 ms'];
    expect(log).toEqual(said);
    for (const atMs of [500, 600]) expect(observe(clusterAfter(12, mode), atMs).modeChanged).toBe(true);
    expect(log).toEqual([...said, 'no worker is left: the automatic MAINTENANCE is over']);
  });

  it('does not overrule whoever resumes for losses that are known', () => {
    const { observe } = start();
    const { mode } = observe(clusterAfter(5), 0);
    observe(clusterAfter(5, mode), 100);
    expect(observe(clusterAfter(5), 200)).toMatchObject({ modeChanged: false, mode: { mode: 'AUTO' } });
    expect(observe(clusterAfter(10), 300)).toMatchObject({
      modeChanged: true,
      mode: { mode: 'MAINTENANCE' },
    });
  });

  it('begins with the quarantines that stand in the plan', () => {
    const { observe } = start();
    const MINUTE_MS = 60_000;
    const standing: [string, number][] = [
      ['w1', 1_000_000 + 7 * MINUTE_MS],
      ['w2', 1_000_000 - 1],
      ['w3', 1_000_000 + 3_600 * MINUTE_MS],
    ];
    const { quarantined } = observe(clusterAfter(0, { mode: 'AUTO' }, standing), 0);
    expect([...quarantined]).toEqual([
      ['w1', 1_000_000 + 7 * MINUTE_MS],
      ['w3', 1_000_000 + 10 * MINUTE_MS],
    ]);
    const later = observe(clusterAfter(0, { mode: 'AUTO' }, standing), 7 * MINUTE_MS);
    expect([...later.quarantined.keys()]).toEqual(['w3']);
  });
});
