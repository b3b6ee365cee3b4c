/** Requests to an API in each of which something is wrong, drawn at random; whatever else there is may be right. */
import { METHODS } from 'node:http';
import { gzipSync } from 'node:zlib';
import { seededRandom } from '../../../libs/testing/seeded-random.ts';
import * as malformed from './malformed-values.ts';

export interface Route {
  /** As fastify has it, with `:id` and the like. */
  readonly path: string;
  /** Those that it has of its own, and does not refuse. */
  readonly methods: readonly string[];
}

export interface MalformedRequest {
  readonly route: Route;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

/** What `api.printRoutes({ commonPrefix: false })` says, with all methods that are answered, if only by a refusal. */
export function routesOf(printed: string): Route[] {
  const above: string[] = [];
  return printed.split('\n').flatMap((line) => {
    const [, indent, part, methods = ''] = /^((?:│ {3}| {4})*)[├└]── (\S+) \(([^)]*)\)/.exec(line) ?? [];
    if (indent === undefined || part === undefined) return [];
    const depth = indent.length / 4;
    const path = `${above[depth - 1] ?? ''}${part}`;
    above.splice(depth, Infinity, path);
    return path.includes('*') ? [] : [{ path, methods: methods.split(', ') }];
  });
}

const CHANGES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
/** Of tasks. */
const SHARE_TOO_LARGE = 0.02;
/** Of all requests: what would be stored, if it were right. */
const SHARE_OF_SUBMISSIONS = 0.3;
/** CONNECT is not a request for a path. */
const ANY_METHODS = METHODS.filter((method) => method !== 'CONNECT');

/**
 * A request to one of the `routes`. What would change something is always without effect: its task is not there, or its body or
 * a header is not one that it may have.
 *
 * @param kept the id of a task that is there: it is only ever meant by a PATCH that must be refused
 */
export function drawMalformed(seed: number, routes: readonly Route[], kept: number): MalformedRequest {
  const draw = new Draw(seed);
  const submits = routes.filter(({ path, methods }) => !path.includes(':') && methods.includes('POST'));
  const route = draw.of(submits.length > 0 && draw.chance(SHARE_OF_SUBMISSIONS) ? submits : routes);
  const own = route.methods.length > 0 && draw.chance(0.8);
  const method = draw.of(own ? route.methods : ANY_METHODS);
  const patchesKept = method === 'PATCH' && draw.chance(0.8);
  const id = () => (patchesKept ? `${kept}` : draw.of(malformed.NO_IDS));
  const path = `${route.path.replaceAll(/:[^/]+/g, id)}${draw.of(malformed.QUERIES)}`;
  const headers: Record<string, string> = {};
  while (draw.chance(0.3)) Object.assign(headers, Object.fromEntries([draw.of(malformed.OTHER_HEADERS)]));
  if (!CHANGES.has(method) && draw.chance(0.7)) return { route, method, path, headers, body: undefined };
  const wrong = draw.of<'version' | 'type' | 'encoding' | 'json' | 'task'>([
    ...(patchesKept ? (['version', 'version', 'version', 'version'] as const) : []),
    ...(['type', 'encoding', 'json', 'task', 'task', 'task', 'task'] as const),
  ]);
  if (draw.chance(0.3) || wrong === 'version') headers['if-match'] = draw.of(malformed.NO_VERSIONS);
  headers['content-type'] = draw.of(wrong === 'type' ? malformed.NO_CONTENT_TYPES : malformed.CONTENT_TYPES);
  if (wrong === 'version')
    return {
      route,
      method,
      path,
      headers: { ...headers, 'content-type': 'application/json' },
      body: Buffer.from('{"priority":1}'),
    };
  if (wrong !== 'encoding') return { route, method, path, headers, body: draw.body(wrong) };
  headers['content-encoding'] = draw.of(malformed.ENCODINGS);
  const body = draw.chance(0.5) ? gzipSync('{"name":"x"}') : draw.body('task');
  return { route, method, path, headers, body };
}

class Draw {
  readonly #next: () => number;

  constructor(seed: number) {
    const random = seededRandom(seed);
    this.#next = () => random.next();
  }

  of<T>(values: readonly T[]): T {
    return values[Math.floor(this.#next() * values.length)] as T;
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  /** One that is refused however it is announced: as lines of NDJSON, each of them. */
  body(wrong: 'type' | 'json' | 'task'): Buffer {
    if (wrong === 'json' && this.chance(0.2)) return Buffer.from(this.of(malformed.NO_UTF8));
    if (wrong === 'json') return Buffer.from(this.of(malformed.NO_JSON));
    if (this.chance(0.2)) return Buffer.from(this.of(malformed.NO_TASKS));
    const text = this.of([
      () => this.#task(),
      () => this.#task(),
      () => `[${this.#task()}]`,
      () => `[{"name":"x"},${this.#task()},{"name":"y"}]`,
      () => `${this.#task()}\n${this.#task()}\n`,
    ])();
    return Buffer.from(text);
  }

  /** Of either spelling, with a member that none may have, and perhaps another. */
  #task(): string {
    const spelling = this.of(['"name":"x"', '"type":"x"']);
    if (this.chance(SHARE_TOO_LARGE)) return `{${spelling},${this.of(malformed.TOO_LARGE)}}`;
    const members = [spelling, this.of(malformed.NO_MEMBERS)];
    while (this.chance(0.3)) members.push(this.of(malformed.NO_MEMBERS));
    // Of two of one name the last counts: it is among those that none may have.
    return `{${members.join()}}`;
  }
}
