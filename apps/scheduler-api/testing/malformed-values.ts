/** What no request may have, by where it stands, from which the malformed ones are drawn. */

export const NO_IDS = [
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
export const QUERIES = [
  '',
  '',
  '',
  '?',
  '?x=%zz',
  '?__proto__=1',
  '?id=1&id=2',
  `?q=${'q'.repeat(2_000)}`,
  '?%00',
];
export const NO_VERSIONS = [
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
export const NO_CONTENT_TYPES = [
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
export const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
  'application/x-ndjson',
];
export const ENCODINGS = ['gzip', 'deflate', 'br', 'zstd', 'x', 'gzip, gzip', 'identity, gzip', '__proto__'];
/** Bodies that are no JSON. */
export const NO_JSON = [
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
export const NO_UTF8 = [
  [0xff],
  [0x22, 0xc3, 0x28, 0x22],
  [0x22, 0xed, 0xa0, 0x80, 0x22],
  [0xfe, 0xff, 0x00, 0x7b],
  [0x80],
];
/** JSON that is no task, nor a list of them. */
export const NO_TASKS = [
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
export const NO_MEMBERS = [
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
/** Many of something, as it is written with its comma, about a MiB together. */
const many = (one: (n: number) => string, bytes: number) =>
  Array.from({ length: Math.floor(1_000_000 / bytes) }, (_, n) => one(n)).join();
/** Nothing else is wrong with these. Rare, as they are large. */
export const TOO_LARGE = [
  ...[262_143, 1_100_000].map((length) => `"payload":"${'x'.repeat(length)}"`),
  `"tags":[${many(() => '0', 2)}]`,
  `"tags":[${many(() => '"a"', 4)}]`,
  many((n) => `"m${n}":0`, 10),
  `"backoff":{${many((n) => `"m${n}":0`, 10)}}`,
  `"${'n'.repeat(900_000)}":0`,
];
/** Headers that are nobody's business, as odd as Node sends them. */
export const OTHER_HEADERS: readonly (readonly [string, string])[] = [
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
