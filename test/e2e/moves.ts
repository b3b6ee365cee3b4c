export interface Moved {
  readonly partition: number;
  readonly from: string | null;
  readonly to: string | null;
}

/** Which partitions changed hands. */
export function movedBetween(
  before: ReadonlyMap<number, string | null>,
  after: ReadonlyMap<number, string | null>,
): Moved[] {
  return [...after].flatMap(([partition, to]) => {
    const from = before.get(partition) ?? null;
    return from === to ? [] : [{ partition, from, to }];
  });
}
