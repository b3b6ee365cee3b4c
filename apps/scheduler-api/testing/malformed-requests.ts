/** Requests to an API in each of which something is wrong, drawn at random; whatever else there is may be right. */
import { METHODS } from 'node:http';
import { gzipSync } from 'node:zlib';
import { seededRandom } from '../../../libs/testing/seeded-random.ts';

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
/** CONNECT is not a request for a path. */
const ANY_METHODS = METHODS.filter((method) => method !== 'CONNECT');
const NO_IDS = [
  ...[
    'abc',
    '-1',
    '+1',
    '1.5',
    '01',
    '0x10',
    '1e3',
    'NaN',
    'null',
    '%20',
    '%201',
    '1%20',
    '%00',
    '1%00',
    '%2e%2e',
  ],
  ...[
    '9'.repeat(30),
    '9007199254740993',
    '9007199254740991',
    '9007199254740990',
    '٣',
    '😀',
    ';1',
    '1,2',
    '__proto__',
  ],
  ...['%zz', '%', '%c3%28', '%ed%a0%80', 'constructor', '1%2Fcancel', "1'--", 'a'.repeat(3_000)],
];
const QUERIES = ['', '', '', '?', '?x=%zz', '?__proto__=1', '?id=1&id=2', `?q=${'q'.repeat(2_000)}`, '?%00'];
const NO_VERSIONS = [
  ...[
    '',
    ',',
    '""',
    '0.0',
    '"0.0',
    'W/"0.0"',
    '"0.00"',
    '"00.0"',
    '"-1.0"',
    '"9.9"',
    '"9.9", W/"0.0"',
    '\u00ff',
  ],
  ...['"__proto__"', `"${'9'.repeat(4_000)}.0"`, '"0.0"x', ',,,"7.7",,', '**', '"*"'],
];
const NO_CONTENT_TYPES = [
  ...[
    'text/plain',
    'application/xml',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
  ],
  ...[
    'json',
    '',
    ' ',
    '/',
    'application/',
    'application/json/',
    'application/jsonp',
    ';charset=utf-8',
    '\u00ff',
  ],
];
const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
  'application/x-ndjson',
];
const ENCODINGS = ['gzip', 'deflate', 'br', 'zstd', 'x', 'gzip, gzip', 'identity, gzip', '__proto__'];
/** Bodies that are no JSON. */
const NO_JSON = [
  ...[
    '{',
    '}',
    '[',
    '{"name":"x"',
    '{"name":"x"}}',
    '{"name":"x",}',
    "{'name':'x'}",
    '{name:"x"}',
    '{"name":"x"}{',
    '\u0000',
  ],
  ...[
    'undefined',
    'NaN',
    'Infinity',
    '+1',
    '01',
    '.5',
    '1.',
    '0x10',
    '"\u0001"',
    '"',
    'nul',
    'tru',
    '<task/>',
    'name=x',
    '\ufeff{',
  ],
  ...[
    '{"name":"x" /* a task */}',
    '{"name":"x"}\u0000',
    '['.repeat(50_000),
    '{"a":'.repeat(20_000),
    '"\\x"',
    '"\\ud8',
  ],
];
const NO_UTF8 = [
  [0xff],
  [0x22, 0xc3, 0x28, 0x22],
  [0x22, 0xed, 0xa0, 0x80, 0x22],
  [0xfe, 0xff, 0x00, 0x7b],
  [0x80],
];
/** JSON that is no task, nor a list of them. */
const NO_TASKS = [
  ...[
    'null',
    'true',
    '0',
    '-0',
    '1e400',
    '"name"',
    '{}',
    '[null]',
    '[[]]',
    '[[[{"name":"x"}]]]',
    '[{}]',
    '[1,2]',
    '{"0":{"name":"x"}}',
  ],
  ...['{"length":1}', '{"name":{}}', '{"type":[]}', '{"tasks":[{"name":"x"}]}', '[{"name":"x"},{}]'],
];
/** Members that no task may have, each as it is written. */
const NO_MEMBERS = [
  ...[
    '"name":""',
    '"name":null',
    '"name":7',
    '"name":["x"]',
    `"name":"${'n'.repeat(201)}"`,
    '"name":"a\\u0000"',
    '"name":"\\ud800"',
  ],
  ...['"type":""', '"type":null', '"type":{}', `"type":"${'n'.repeat(201)}"`, '"type":"\\udfff"'],
  ...[
    '"key":""',
    '"key":{}',
    '"key":"\\u0000"',
    '"scheduledTime":"tomorrow"',
    '"scheduledTime":1700000000',
    '"scheduledTime":"2024-02-30T00:00:00Z"',
  ],
  ...[
    '"scheduledTime":"2024-01-01T00:00:00Z","delay":"PT1S"',
    '"delay":"1s"',
    '"delay":"P1Y"',
    '"delay":-1',
    '"delay":"PT"',
    '"delay":"-PT1S"',
  ],
  ...[
    '"priority":10',
    '"priority":-1',
    '"priority":1.5',
    '"priority":"1"',
    '"priority":1e400',
    '"priority":99999999999999999999',
  ],
  ...[
    '"maxAttempts":0',
    '"maxAttempts":101',
    '"maxAttempts":null',
    '"maxAttempts":1e-9',
    '"maxAttempts":-0',
    '"timeoutMs":0',
  ],
  ...[
    '"timeoutMs":2147483648',
    '"timeoutMs":"1"',
    '"backoff":1',
    '"backoff":[]',
    '"backoff":{"baseMs":-1}',
    '"backoff":{"factor":0}',
  ],
  ...[
    '"backoff":{"maxMs":1e300}',
    '"backoff":{"__proto__":{}}',
    '"backoff":{"more":1}',
    '"tags":"x"',
    '"tags":[1]',
    '"serial":"yes"',
  ],
  ...[
    '"payload":"\\u0000"',
    '"payload":{"a\\u0000":1}',
    '"payload":["\\ud800"]',
    '"payload":{"\\udc00":1}',
    '"payload":1e400',
    '"payload":-1e999',
  ],
  ...[
    `"payload":${'['.repeat(200)}${']'.repeat(200)}`,
    `"payload":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
    '"payload":{"__proto__":{"admin":true}}',
  ],
  ...[
    '"__proto__":{"name":"x"}',
    '"constructor":{"prototype":{}}',
    '"toString":1',
    '"unknown":true',
    '"id":1',
    '"status":"COMPLETED"',
    '"":1',
  ],
];
/** Nothing else is wrong with these. Rare, as they are large. */
const TOO_LARGE = [262_143, 1_100_000].map((length) => `"payload":"${'x'.repeat(length)}"`);
const SHARE_TOO_LARGE = 0.02;
/** Of all requests: what would be stored, if it were right. */
const SHARE_OF_SUBMISSIONS = 0.3;
/** Headers that are nobody's business, as odd as Node sends them. */
const OTHER_HEADERS: readonly (readonly [string, string])[] = [
  ...([
    ['idempotency-key', ''],
    ['idempotency-key', 'k'.repeat(4_000)],
    ['idempotency-key', '\u00ff"'],
    ['idempotency-key', '"a", "b"'],
  ] as const),
  ...([
    ['accept', 'text/html;q=x'],
    ['accept-encoding', '*;q=0'],
    ['range', 'bytes=-1'],
    ['cookie', '__proto__=1'],
    ['host', ''],
  ] as const),
  ...([
    ['x-http-method-override', 'DELETE'],
    ['if-none-match', '*'],
    ['content-range', 'x'],
    ['transfer-encoding', 'chunked'],
  ] as const),
  ...([
    ['prefer', 'respond-async'],
    ['origin', 'null'],
    ['x-forwarded-for', '\u00e9'],
    ['content-language', 'x'.repeat(3_000)],
  ] as const),
];

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
  const id = () => (patchesKept ? `${kept}` : draw.of(NO_IDS));
  const path = `${route.path.replaceAll(/:[^/]+/g, id)}${draw.of(QUERIES)}`;
  const headers: Record<string, string> = {};
  while (draw.chance(0.3)) Object.assign(headers, Object.fromEntries([draw.of(OTHER_HEADERS)]));
  if (!CHANGES.has(method) && draw.chance(0.7)) return { route, method, path, headers, body: undefined };
  const wrong = draw.of<'version' | 'type' | 'encoding' | 'json' | 'task'>([
    ...(patchesKept ? (['version', 'version', 'version', 'version'] as const) : []),
    ...(['type', 'encoding', 'json', 'task', 'task', 'task', 'task'] as const),
  ]);
  if (draw.chance(0.3) || wrong === 'version') headers['if-match'] = draw.of(NO_VERSIONS);
  headers['content-type'] = draw.of(wrong === 'type' ? NO_CONTENT_TYPES : CONTENT_TYPES);
  if (wrong === 'version')
    return {
      route,
      method,
      path,
      headers: { ...headers, 'content-type': 'application/json' },
      body: Buffer.from('{"priority":1}'),
    };
  if (wrong !== 'encoding') return { route, method, path, headers, body: draw.body(wrong) };
  headers['content-encoding'] = draw.of(ENCODINGS);
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
    if (wrong === 'json' && this.chance(0.2)) return Buffer.from(this.of(NO_UTF8));
    if (wrong === 'json') return Buffer.from(this.of(NO_JSON));
    if (this.chance(0.2)) return Buffer.from(this.of(NO_TASKS));
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
    if (this.chance(SHARE_TOO_LARGE)) return `{${spelling},${this.of(TOO_LARGE)}}`;
    const members = [spelling, this.of(NO_MEMBERS)];
    while (this.chance(0.3)) members.push(this.of(NO_MEMBERS));
    // Of two of one name the last counts: it is among those that none may have.
    return `{${members.join()}}`;
  }
}
