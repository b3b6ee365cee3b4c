/** What a row of measurements comes to. Pure. */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The `p`-quantile of `values`, 0 ≤ p ≤ 1, interpolated linearly between the two nearest ranks (type 7 of Hyndman
 * and Fan, 1996); NaN of no values.
 */
export function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = p * (sorted.length - 1);
  const below = sorted[Math.floor(rank)] ?? NaN;
  const above = sorted[Math.ceil(rank)] ?? NaN;
  return below + (above - below) * (rank - Math.floor(rank));
}

export function spread(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * `of[i] / against[i]` for each round `i` that both have: what a noisy machine does to both of a round cancels out,
 * what it does between rounds shows as spread.
 */
export function ratios(of: readonly number[], against: readonly number[]): number[] {
  return of.flatMap((value, round) => {
    const other = against[round];
    return other === undefined ? [] : [value / other];
  });
}
