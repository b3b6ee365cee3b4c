/**
 * Which of `candidates` looks most like `given`: the fewest letters to change, add or drop. `undefined` where that
 * is more than a third of it, or than two: it was hardly meant.
 */
export function nearest(given: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({ candidate, letters: distance(given, candidate) }))
    .filter(({ candidate, letters }) => letters <= Math.max(2, candidate.length / 3))
    .sort((a, b) => a.letters - b.letters);
  return best?.candidate;
}

/** Levenshtein's distance (1966), by the rows of its table. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
