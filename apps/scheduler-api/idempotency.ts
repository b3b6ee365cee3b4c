/**
 * The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent again with the same
 * key is carried out once, and answered as at first. What a key was used for is kept with the tasks, in one transaction. What is
 * in flight is known here, and of what other processes have sent to the database, there.
 */
import { createHash } from 'node:crypto';
import type { Once } from '../../libs/db/stores.ts';
import { Problem } from './problem.ts';

const MAX_LENGTH = 255;
/** A string of RFC 8941, section 3.3.3. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/;
/** As many clients send it: without the quotes. */
const BARE = /^[!#-+\--~]+$/;

/**
 * @param path of the resource: one key is not good for two of them
 * @param body as parsed and checked; another spelling of the same JSON is the same request
 * @returns null where the header is missing
 * @throws Problem `invalid-idempotency-key`
 */
export function readIdempotencyKey(
  header: string | readonly string[] | undefined,
  path: string,
  body: unknown,
): Once | null {
  if (header === undefined) return null;
  const text = String(header);
  const key = QUOTED.exec(text)?.[1]?.replace(/\\(.)/g, '$1') ?? BARE.exec(text)?.[0] ?? '';
  if (key === '' || key.length > MAX_LENGTH)
    throw new Problem('invalid-idempotency-key', {
      detail: `Idempotency-Key must be one string of 1 to ${MAX_LENGTH} printable ASCII characters.`,
    });
  const fingerprint = createHash('sha256').update(`${path}\n${JSON.stringify(body, inOrder)}`);
  return { key, fingerprint: fingerprint.digest('base64') };
}

/** For JSON.stringify: an object's members in the order of their names. */
function inOrder(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const members = Object.entries(value as Record<string, unknown>);
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What the same key with another body is answered with. */
export function keyReused(): Problem {
  return new Problem('idempotency-key-reused', {
    detail: 'This Idempotency-Key has come with another request. Nothing was stored.',
  });
}

/** What the same key is answered with while its first request is being carried out, here or elsewhere. */
export function keyInFlight(): Problem {
  return new Problem('idempotency-key-in-flight', {
    detail: 'A request with this Idempotency-Key is still being carried out.',
    headers: { 'retry-after': '1' },
  });
}

/** The keys of requests that this process is at work on. */
export class KeysInFlight {
  readonly #keys = new Set<string>();

  /**
   * Does `work`, during which the same key is refused.
   * @throws Problem `idempotency-key-in-flight`; else what `work` rejects with
   */
  async during<T>(once: Once | null, work: () => Promise<T>): Promise<T> {
    if (once === null) return work();
    const { key } = once;
    if (this.#keys.has(key)) throw keyInFlight();
    this.#keys.add(key);
    try {
      return await work();
    } finally {
      this.#keys.delete(key);
    }
  }
}
