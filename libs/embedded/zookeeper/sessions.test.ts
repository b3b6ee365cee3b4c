import { describe, expect, it } from 'vitest';
import { EPHEMERAL, MachineDriver, create, setData } from '../../testing/zookeeper/machine-driver.ts';
import type { Request } from './protocol.ts';

const ping: Request = { type: 'ping' };
const tickTimeMs = 100;

describe('session timeouts', () => {
  it.each([
    [50, 200],
    [1_234, 1_234],
    [60_000, 2_000],
  ])('of %i ms are granted as %i ms with a tick of 100', (asked, granted) => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open();
    expect(driver.reattach(client, { timeOut: asked })).toBe(granted);
  });

  it('end at the first tick after them, never before', () => {
    const driver = new MachineDriver(tickTimeMs);
    driver.nowMs = 30;
    const client = driver.open(300);
    expect(driver.advanceTo(399).ended).toEqual([]);
    expect(driver.advanceTo(400).ended).toEqual([client]);
  });

  it('that fall on a tick have one tick more, as ZooKeeper rounds', () => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open(300);
    expect(driver.advanceTo(300).ended).toEqual([]);
    expect(driver.advanceTo(400).ended).toEqual([client]);
  });

  it('start anew with every request, also of a client that was cut off meanwhile', () => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open(300);
    driver.nowMs = 350;
    driver.send(client, ping);
    driver.machine.disconnect(client);
    expect(driver.advanceTo(600).ended).toEqual([]);
    driver.reattach(client, { timeOut: 300 });
    expect(driver.advanceTo(900).ended).toEqual([]);
    expect(driver.advanceTo(1_000).ended).toEqual([client]);
  });
});

describe('the end of a session', () => {
  it('deletes all its ephemerals under one zxid and tells who watches them', () => {
    const driver = new MachineDriver(tickTimeMs);
    const [watcher, mortal] = [driver.open(2_000), driver.open(200)];
    driver.send(watcher, create('/live'));
    for (const path of ['/live/a', '/live/b']) driver.send(mortal, create(path, EPHEMERAL));
    driver.send(watcher, { type: 'exists', path: '/live/a', watch: true });
    driver.send(watcher, { type: 'getChildren2', path: '/live', watch: true });
    const before = driver.machine.zxid;
    expect(driver.advanceTo(500).ended).toEqual([mortal]);
    expect(driver.machine.zxid).toBe(before + 1n);
    expect(driver.events(watcher)).toEqual(['NODE_DELETED /live/a', 'NODE_CHILDREN_CHANGED /live']);
    expect(driver.send(watcher, { type: 'getChildren', path: '/live', watch: false }).body).toEqual({
      type: 'children',
      children: [],
    });
  });

  it('by the client is answered, and then its connection is closed', () => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open();
    const outcome = driver.machine.request(client, { type: 'closeSession' }, driver.now());
    expect(outcome).toMatchObject({ reply: { err: 0 }, ended: [client] });
    expect(driver.sendForError(client, ping)).toBe('SESSION_EXPIRED');
    expect(driver.reattach(client)).toBe(0);
  });
});

describe('coming back to a session', () => {
  it('keeps its ephemerals', () => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open();
    driver.send(client, create('/e', EPHEMERAL));
    driver.machine.disconnect(client);
    expect(driver.reattach(client)).toBe(1_000);
    expect(driver.send(client, { type: 'exists', path: '/e', watch: false }).body).toMatchObject({
      stat: { ephemeralOwner: client },
    });
  });

  it('takes the password: with another the session counts as expired, and lives on', () => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open();
    expect(driver.reattach(client, { password: Buffer.alloc(16, 0xff) })).toBe(0);
    expect(driver.sendForError(client, ping)).toBe('OK');
  });

  it('while the old connection is still there drops what that one had watched and proven', () => {
    const driver = new MachineDriver(tickTimeMs);
    const [client, writer] = [driver.open(), driver.open()];
    driver.send(client, { type: 'auth', authType: 0, scheme: 'digest', auth: Buffer.from('u:p') });
    driver.send(client, { type: 'exists', path: '/', watch: true });
    driver.reattach(client);
    driver.send(writer, setData('/', 'x'));
    expect(driver.events(client)).toEqual([]);
    expect(driver.machine.sessions().find(({ sessionId }) => sessionId === client)?.identities).toEqual([]);
  });

  it('is left unanswered for a client that has seen a later zxid than the server has', () => {
    const driver = new MachineDriver(tickTimeMs);
    const client = driver.open();
    expect(driver.reattach(client, { lastZxidSeen: driver.machine.zxid + 1n })).toBe(-1);
    expect(driver.reattach(client, { lastZxidSeen: driver.machine.zxid })).toBe(1_000);
  });
});
