/**
 * How many partitions each worker is to hold.
 *
 * Shares first, as fractions: the zones divide the partitions by weight, the workers of a zone divide the zone's,
 * and what a limit keeps from one goes to the others beside it. Then rounding: every worker and every zone gets its
 * share rounded up or down, and which of the two is chosen so that the fewest partitions move. Strictly by largest
 * remainder (Hamilton's method), partitions would move because a remainder changed; so remainders decide only
 * between roundings that need equally many moves, as they do throughout a cluster that starts.
 */
import { invariant } from './invariant.ts';

export interface Claimant {
  readonly id: string;
  /** > 0 */
  readonly weight: number;
  /** The most it may hold; a whole number. */
  readonly limit: number;
  /** Claimants without one are together in a zone of their own. */
  readonly zone: string | undefined;
  /** How many it holds now. */
  readonly holds: number;
}

interface Zone {
  readonly weight: number;
  readonly limit: number;
  readonly members: readonly Claimant[];
}

/** One claimant's share rounded down, and what speaks for rounding it up. */
interface Rounding {
  readonly id: string;
  readonly floor: number;
  readonly remainder: number;
  readonly holds: number;
}

/**
 * Quotas by id that add up to `total`, which the limits must allow. The claimants are in the order of their ids.
 *
 * Rounding a claimant up saves a move exactly if it holds more than the floor. So in each zone those go first, and
 * the zones that are themselves rounded up are those where the next in line saves one: greedy, and optimal, because
 * the savings along each line only fall.
 */
export function quotas(total: number, claimants: readonly Claimant[]): ReadonlyMap<string, number> {
  const result = new Map<string, number>();
  const nextInLine: Rounding[] = [];
  const roundUp = ({ id, floor }: Rounding) => result.set(id, floor + 1);

  for (const [{ members }, zoneShare] of shareByWeight(total, zonesOf(claimants))) {
    const zone = roundDown(zoneShare);
    const line: Rounding[] = [];
    let floors = 0;
    for (const [{ id, holds }, share] of shareByWeight(zoneShare, members)) {
      const { floor, remainder } = roundDown(share);
      result.set(id, floor);
      floors += floor;
      if (remainder > 0) line.push({ id, floor, remainder, holds });
    }
    line.sort(byMerit);
    // Below 0 only if remainders too small to tell from nothing add up to one that is not.
    const ups = Math.max(0, zone.floor - floors);
    line.slice(0, ups).forEach(roundUp);
    const next = line[ups];
    if (next !== undefined && zone.remainder > 0) nextInLine.push({ ...next, remainder: zone.remainder });
  }

  const left = total - sum([...result.values()]);
  invariant(left >= 0 && left <= nextInLine.length, 'the shares do not add up to the partitions');
  nextInLine.sort(byMerit).slice(0, left).forEach(roundUp);
  return result;
}

function byMerit(a: Rounding, b: Rounding): number {
  return (
    Number(b.holds > b.floor) - Number(a.holds > a.floor) ||
    b.remainder - a.remainder ||
    b.holds - a.holds ||
    (a.id < b.id ? -1 : 1)
  );
}

function zonesOf(claimants: readonly Claimant[]): Zone[] {
  const byName = new Map<string | undefined, Claimant[]>();
  for (const claimant of claimants) {
    const members = byName.get(claimant.zone);
    if (members === undefined) byName.set(claimant.zone, [claimant]);
    else members.push(claimant);
  }
  return [...byName.values()].map((members) => ({
    weight: sum(members.map(({ weight }) => weight)),
    limit: sum(members.map(({ limit }) => limit)),
    members,
  }));
}

/**
 * Divides `total` in proportion to the weights, nobody above its limit ("water filling"). Whoever has the tightest
 * limit for its weight is served first: what it cannot take is left to those who still can.
 */
function shareByWeight<T extends { readonly weight: number; readonly limit: number }>(
  total: number,
  members: readonly T[],
): Map<T, number> {
  let weight = 0;
  const tightestLast = [...members]
    .sort((a, b) => b.limit / b.weight - a.limit / a.weight)
    .map((member) => ({ member, weightUpToHere: (weight += member.weight) }));
  let left = total;
  const shares = new Map<T, number>();
  for (const { member, weightUpToHere } of tightestLast.reverse()) {
    const share = Math.min(member.limit, (left * member.weight) / weightUpToHere);
    shares.set(member, share);
    left -= share;
  }
  return shares;
}

/** To a millionth, or so: shares that are whole or equal are so after dividing and adding up, too. */
const GRAIN = 2 ** -20;

function roundDown(share: number): { floor: number; remainder: number } {
  const grained = Math.round(share / GRAIN) * GRAIN;
  const floor = Math.floor(grained);
  return { floor, remainder: grained - floor };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
