/**
 * Milliseconds since the Unix epoch, with fractions: comparable between the processes of one machine. The fraction is
 * the monotonic clock's, which may drift from the wall clock in a long run: held within the millisecond that the
 * wall clock shows.
 */
export function wallMs(): number {
  const preciseMs = performance.timeOrigin + performance.now();
  const wholeMs = Date.now();
  return Math.min(Math.max(preciseMs, wholeMs), wholeMs + 1);
}
