/** Random steps of a client, few enough paths apart that clients and steps meet. */
import type { Random } from '../../core/random.ts';
import { OPEN_ACL, READ_ACL } from '../../embedded/zookeeper/acl.ts';
import type { Acl, Request, WriteOp } from '../../embedded/zookeeper/protocol.ts';

/** What becomes of a client's session or connection, as `ScriptedClient` has it. */
export type SessionStep =
  'goAway' | 'comeBack' | 'takeOver' | 'reopen' | 'expire' | 'impostor' | 'authenticateInVain';

const SESSION_STEPS: readonly (readonly [SessionStep, weight: number])[] = [
  ['goAway', 8],
  ['comeBack', 4],
  ['takeOver', 3],
  ['reopen', 3],
  ['authenticateInVain', 1],
  ['impostor', 1],
  ['expire', 0.7],
];

const DIGEST_OF_U_P = 'u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=';
const ACLS: readonly (readonly Acl[])[] = [
  ...Array.from({ length: 14 }, () => OPEN_ACL),
  READ_ACL,
  [{ perms: 31, id: { scheme: 'auth', id: '' } }],
  [{ perms: 31, id: { scheme: 'auth', id: '' } }, ...READ_ACL],
  [{ perms: 31, id: { scheme: 'digest', id: DIGEST_OF_U_P } }, ...READ_ACL],
  [{ perms: 5, id: { scheme: 'digest', id: DIGEST_OF_U_P } }],
  [{ perms: 0, id: { scheme: 'world', id: 'anyone' } }],
  [{ perms: 31, id: { scheme: 'world', id: 'someone' } }],
  [{ perms: 31, id: { scheme: 'digest', id: 'no-colon' } }],
  [{ perms: 31, id: { scheme: 'unheard-of', id: 'x' } }],
  [...OPEN_ACL, ...OPEN_ACL],
  [],
];

/** One step beneath `root`. */
export function randomStep(random: Random, root: string): Request | SessionStep {
  const path = randomPath(random, root);
  const watch = random.next() < 0.7;
  const draw = Math.floor(random.next() * 100);
  if (draw < 42) return randomWrite(random, root);
  if (draw < 49) return { type: 'exists', path, watch };
  if (draw < 56) return { type: 'getData', path, watch };
  if (draw < 62) return { type: 'getChildren2', path, watch };
  if (draw < 65) return { type: 'getChildren', path, watch };
  if (draw < 68) return { type: 'getACL', path };
  if (draw < 72) return { type: 'setACL', path, acl: pick(random, ACLS), version: randomVersion(random) };
  if (draw < 74) {
    const auth = Buffer.from(pick(random, ['u:p', 'v:q', 'w', 'x:y:z']));
    return { type: 'auth', authType: 0, scheme: 'digest', auth };
  }
  if (draw < 75) return { type: 'ping' };
  if (draw < 76) return { type: 'getEphemerals', prefixPath: pick(random, ['', '/', root, path]) };
  if (draw < 77) return { type: 'getAllChildrenNumber', path };
  if (draw < 79) return { ...randomCreate(random, root), type: 'create2' };
  if (draw < 87) return pickWeighted(random, SESSION_STEPS);
  const ops = Array.from({ length: Math.floor(random.next() * 5) }, () =>
    random.next() < 0.2
      ? ({ type: 'check', path: randomPath(random, root), version: randomVersion(random) } as const)
      : randomWrite(random, root),
  );
  return { type: 'multi', ops };
}

function randomWrite(random: Random, root: string): WriteOp {
  const path = randomPath(random, root);
  const version = randomVersion(random);
  const draw = random.next();
  if (draw < 0.3) return { type: 'delete', path, version };
  if (draw < 0.5) return { type: 'setData', path, data: randomData(random), version };
  return randomCreate(random, root);
}

function randomCreate(random: Random, root: string): Extract<WriteOp, { type: 'create' }> {
  const flags = Math.floor(random.next() * 4);
  return {
    type: 'create',
    path: randomPath(random, root),
    data: randomData(random),
    acl: pick(random, ACLS),
    flags,
  };
}

function randomData(random: Random): Buffer | null {
  return random.next() < 0.1 ? null : Buffer.from('x'.repeat(Math.floor(random.next() * 9)));
}

/** Sometimes one that is no path, or a system's. */
function randomPath(random: Random, root: string): string {
  if (random.next() < 0.03) {
    const wrong = [
      '',
      'a',
      '/',
      'a/b',
      '//a',
      `${root}//a`,
      `${root}/`,
      `${root}/a/`,
      `${root}/../a`,
      `${root}/\u0001`,
    ];
    return pick(random, wrong);
  }
  if (random.next() < 0.01) return pick(random, ['/zookeeper', '/zookeeper/quota', '/zookeeper/config']);
  const depth = 1 + Math.floor(random.next() * 3);
  return root + Array.from({ length: depth }, () => `/${pick(random, ['a', 'b', 'c', 'd'])}`).join('');
}

function randomVersion(random: Random): number {
  return random.next() < 0.3 ? Math.floor(random.next() * 3) : -1;
}

export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random.next() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

function pickWeighted<T>(random: Random, items: readonly (readonly [T, number])[]): T {
  let left = random.next() * items.reduce((sum, [, weight]) => sum + weight, 0);
  const found = items.find(([, weight]) => (left -= weight) < 0) ?? items[0];
  if (found === undefined) throw new Error('nothing to pick from');
  return found[0];
}
