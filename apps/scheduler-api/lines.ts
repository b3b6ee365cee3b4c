/** The lines of a body of application/x-ndjson as they arrive. */

export interface Line {
  /** From 1, empty ones counted. */
  readonly number: number;
  /** Without its end; null where it is too long to be taken. */
  readonly text: Buffer | null;
}

const NEWLINE = 0x0a;

export interface LineLimits {
  /** Of a line; of a longer one no more than that is ever kept. */
  readonly maxBytes: number;
  /** Asked when there are no more chunks: whether there would have been. What has arrived of a line is none then. */
  readonly isCutShort: () => boolean;
}

/**
 * Splits what arrives into lines, without those that are empty.
 * @yields for each chunk that ends any line, all that it ends
 */
export async function* readLines(
  chunks: AsyncIterable<Buffer>,
  { maxBytes, isCutShort }: LineLimits,
): AsyncGenerator<Line[]> {
  let number = 1;
  let parts: Buffer[] = [];
  let bytes = 0;

  const end = (last: Buffer): Line[] => {
    const whole = bytes + last.length <= maxBytes;
    const text = whole ? Buffer.concat([...parts, last]) : null;
    [parts, bytes] = [[], 0];
    const line = { number: number++, text };
    return text !== null && isBlank(text) ? [] : [line];
  };

  for await (const chunk of chunks) {
    const lines: Line[] = [];
    let begin = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, begin)) {
      lines.push(...end(chunk.subarray(begin, at)));
      begin = at + 1;
    }
    const rest = chunk.subarray(begin);
    bytes += rest.length;
    if (bytes > maxBytes) parts = [];
    else if (rest.length > 0) parts.push(rest);
    if (lines.length > 0) yield lines;
  }
  if (bytes === 0 || isCutShort()) return;
  const last = end(Buffer.alloc(0));
  if (last.length > 0) yield last;
}

function isBlank(text: Buffer): boolean {
  // What JSON takes for space.
  return text.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
