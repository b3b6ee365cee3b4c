/** JSON that parses and that Postgres, JavaScript or JSON itself would still not hold, found before it is stored. */

export interface InputError {
  /** RFC 6901, from the root of the request's body. */
  readonly pointer: string;
  readonly detail: string;
}

/** Deeper than any payload a person writes, and far from every recursion limit on the way to the database. */
export const MAX_DEPTH = 100;
/** One answer names at most this many faults. */
export const MAX_ERRORS = 20;
/** Of each token of a pointer, in characters: of a longer one, the rest is left out. */
const MAX_TOKEN_LENGTH = 200;

/**
 * The faults of a parsed JSON value, with a pointer each, at most {@link MAX_ERRORS}: a NUL or a lone surrogate in a
 * string or key (Postgres text has neither), a number too large for a double (1e400 parses as infinity), a key
 * named `__proto__` (it would vanish from a copy), nesting deeper than {@link MAX_DEPTH}.
 */
export function findJsonFaults(value: unknown): InputError[] {
  const faults: InputError[] = [];
  visit(value, [], faults);
  return faults;
}

/** @param path where the value stands. Recursion is bounded by MAX_DEPTH. */
function visit(value: unknown, path: (string | number)[], faults: InputError[]): void {
  if (faults.length >= MAX_ERRORS) return;
  const detail = scalarFault(value);
  if (detail !== undefined) faults.push({ pointer: toPointer(path), detail });
  if (typeof value !== 'object' || value === null) return;
  if (path.length >= MAX_DEPTH) {
    faults.push({ pointer: toPointer(path), detail: `must not be nested deeper than ${MAX_DEPTH} levels` });
    return;
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      path.push(index);
      visit(value[index], path, faults);
      path.pop();
    }
    return;
  }
  for (const key of Object.keys(value)) {
    if (faults.length >= MAX_ERRORS) return;
    path.push(key);
    const keyFault = key === '__proto__' ? 'must not be named __proto__' : stringFault(key);
    if (keyFault === undefined) visit((value as Record<string, unknown>)[key], path, faults);
    else faults.push({ pointer: toPointer(path), detail: `the name of this member ${keyFault}` });
    path.pop();
  }
}

const toPointer = (path: readonly (string | number)[]) =>
  path.map((token) => `/${escapePointer(String(token))}`).join('');

function scalarFault(value: unknown): string | undefined {
  if (typeof value === 'string') return stringFault(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return 'must be a number that fits a double';
  return undefined;
}

function stringFault(text: string): string | undefined {
  if (text.includes('\0')) return 'must not contain the character NUL';
  // In Unicode mode this class matches lone halves only.
  if (/\p{Surrogate}/u.test(text)) return 'must not contain half of a surrogate pair';
  return undefined;
}

/** One reference token of a JSON pointer (RFC 6901, section 3), so short that an answer stays one whatever was sent. */
export function escapePointer(token: string): string {
  const shown = token.length <= MAX_TOKEN_LENGTH ? token : `${token.slice(0, MAX_TOKEN_LENGTH)}…`;
  return shown.replaceAll('~', '~0').replaceAll('/', '~1');
}
