import { describe, expect, it } from 'vitest';
import { MachineDriver, check, create, remove, setData } from '../../testing/zookeeper/machine-driver.ts';
import { OPEN_ACL, READ_ACL, digestId } from './acl.ts';
import type { Acl, Request } from './protocol.ts';
import { Perms } from './protocol.ts';

const auth = (credentials: string): Request => ({
  type: 'auth',
  authType: 0,
  scheme: 'digest',
  auth: Buffer.from(credentials),
});
const CREATOR_ALL: readonly Acl[] = [{ perms: 31, id: { scheme: 'auth', id: '' } }];
const setACL = (path: string, acl: readonly Acl[]): Request => ({ type: 'setACL', path, acl, version: -1 });

it('a digest is the one that ZooKeeper’s own tool prints', () => {
  expect(digestId('super:superpw').id).toBe('super:g9oN2HttPfn8MMWJZ2r45Np/LIA=');
});

describe('a znode of its creator only', () => {
  function privateZnode(): { driver: MachineDriver; owner: bigint; stranger: bigint } {
    const driver = new MachineDriver();
    const [owner, stranger] = [driver.open(), driver.open()];
    driver.send(owner, auth('owner:secret'));
    driver.send(owner, create('/private', 0, CREATOR_ALL));
    driver.send(owner, create('/private/child', 0, OPEN_ACL));
    return { driver, owner, stranger };
  }

  it.each<[string, Request]>([
    ['read', { type: 'getData', path: '/private', watch: false }],
    ['listed', { type: 'getChildren2', path: '/private', watch: false }],
    ['written', setData('/private', 'x')],
    ['checked', check('/private', -1)],
    ['given children', create('/private/other')],
    ['emptied, though the child is open', remove('/private/child')],
    ['opened', setACL('/private', OPEN_ACL)],
    ['asked for its ACL', { type: 'getACL', path: '/private' }],
  ])('cannot be %s by a stranger', (_, request) => {
    const { driver, owner, stranger } = privateZnode();
    expect(driver.sendForError(stranger, request)).toBe('NO_AUTH');
    expect(driver.sendForError(owner, request)).toBe('OK');
  });

  it('can be seen to exist by anyone, but its events reach only those who may read it', () => {
    const { driver, owner, stranger } = privateZnode();
    for (const client of [owner, stranger]) {
      expect(driver.sendForError(client, { type: 'exists', path: '/private', watch: true })).toBe('OK');
    }
    driver.send(owner, setData('/private', 'x'));
    expect(driver.events(owner)).toEqual(['NODE_DATA_CHANGED /private']);
    expect(driver.events(stranger)).toEqual([]);
  });

  it('opens to whoever proves the same identity, for as long as that connection lasts', () => {
    const { driver, stranger } = privateZnode();
    driver.send(stranger, auth('owner:wrong'));
    expect(driver.sendForError(stranger, setData('/private', 'x'))).toBe('NO_AUTH');
    driver.send(stranger, auth('owner:secret'));
    expect(driver.sendForError(stranger, setData('/private', 'x'))).toBe('OK');
    driver.reattach(stranger);
    expect(driver.sendForError(stranger, setData('/private', 'x'))).toBe('NO_AUTH');
  });
});

it('who may read but not administer sees an ACL without its digests', () => {
  const driver = new MachineDriver();
  const client = driver.open();
  driver.send(client, create('/a', 0, [...READ_ACL, { perms: Perms.WRITE, id: digestId('u:p') }]));
  const { body } = driver.send(client, { type: 'getACL', path: '/a' });
  expect(body).toMatchObject({ acl: [READ_ACL[0], { id: { scheme: 'digest', id: 'u:x' } }] });
});

it('setACL counts in the aversion, and is refused at another', () => {
  const driver = new MachineDriver();
  const client = driver.open();
  driver.send(client, create('/a'));
  expect(driver.send(client, setACL('/a', READ_ACL)).body).toMatchObject({
    stat: { aversion: 1, version: 0 },
  });
  expect(driver.sendForError(client, { type: 'setACL', path: '/', acl: OPEN_ACL, version: 3 })).toBe(
    'BAD_VERSION',
  );
});

it.each<[string, readonly Acl[]]>([
  ['an empty ACL', []],
  ['an unknown scheme', [{ perms: 31, id: { scheme: 'carrier-pigeon', id: 'x' } }]],
  ['a digest without its hash', [{ perms: 31, id: { scheme: 'digest', id: 'user' } }]],
  ['auth of a client that has proven nothing', CREATOR_ALL],
])('%s is invalid', (_, acl) => {
  const driver = new MachineDriver();
  expect(driver.sendForError(driver.open(), create('/a', 0, acl))).toBe('INVALID_ACL');
});

it('an unknown scheme of authentication ends the connection', () => {
  const driver = new MachineDriver();
  const request: Request = { type: 'auth', authType: 0, scheme: 'sasl', auth: Buffer.alloc(0) };
  const outcome = driver.machine.request(driver.open(), request, driver.now());
  expect(outcome).toMatchObject({ disconnect: true, reply: { err: -115 }, ended: [] });
});
