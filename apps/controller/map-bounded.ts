/**
 * `Promise.all(items.map(work))` with at most `limit` under way. The first rejection is passed on; what has not
 * been started by then is not.
 */
export async function mapBounded<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  let failed = false;
  const lane = async () => {
    for (const [i, item] of queue) {
      if (failed) return;
      results[i] = await work(item);
    }
  };
  const lanes = Array.from({ length: Math.min(limit, items.length) }, lane);
  try {
    await Promise.all(lanes);
  } catch (error) {
    failed = true;
    throw error;
  }
  return results;
}
