/**
 * Waits for a fact: resolves with the first value of `look` that is neither undefined nor false.
 *
 * @param what for the error message
 * @throws Error after `withinMs`, with what was seen last
 */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  { withinMs, everyMs = 25 }: { withinMs: number; everyMs?: number },
): Promise<T> {
  const deadlineMs = performance.now() + withinMs;
  let trouble: unknown;
  do {
    try {
      const value = await look();
      if (value !== undefined && value !== false) return value;
      trouble = undefined;
    } catch (error) {
      trouble = error;
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  } while (performance.now() < deadlineMs);
  throw new Error(`not within ${withinMs} ms: ${what}`, trouble === undefined ? {} : { cause: trouble });
}
