/** What we override or call inside node-zookeeper-client is no promise of that package: another version may differ. */
import { createRequire } from 'node:module';
import ConnectionManager from 'node-zookeeper-client/lib/ConnectionManager.js';
import Exception from 'node-zookeeper-client/lib/Exception.js';
import jute from 'node-zookeeper-client/lib/jute/index.js';
import { describe, expect, it } from 'vitest';
import { acceptUnknownCodes, errorOfCode } from './error-codes.ts';
import { setWatchesRequests } from './set-watches.ts';

describe('node-zookeeper-client', () => {
  it('is the version whose internals we know', () => {
    const { version } = createRequire(import.meta.url)('node-zookeeper-client/package.json') as {
      version: string;
    };
    expect(version).toBe('1.1.3');
  });

  it.each([
    'close',
    'connect',
    'findNextServer',
    'onPacketQueueReadable',
    'onSocketClosed',
    'onSocketConnected',
    'onSocketData',
    'onSocketDrain',
    'onSocketTimeout',
    'queue',
    'registerChildWatcher',
    'registerDataWatcher',
    'registerExistenceWatcher',
    'setState',
  ])('has the method %s that we override or call', (method) => {
    expect(ConnectionManager.prototype).toHaveProperty(method, expect.any(Function));
  });

  it('keeps its state where we look for it', () => {
    const manager = new ConnectionManager(
      '127.0.0.1:1',
      { sessionTimeout: 3_000, spinDelay: 1_000 },
      () => {},
    );
    expect(manager).toMatchObject({
      connectTimeout: 3_000,
      credentials: [],
      nextServerIndex: 0,
      packetQueue: { queue: [] },
      pendingQueue: [],
      serverAttempts: 0,
      servers: [{ host: '127.0.0.1', port: '1' }],
      sessionId: Buffer.alloc(8),
      sessionPassword: Buffer.alloc(16),
      sessionTimeout: 3_000,
      state: ConnectionManager.STATES.DISCONNECTED,
      xid: 0,
      zxid: Buffer.alloc(8),
    });
    expect(manager.watcherManager.getChildWatcherPaths()).toEqual([]);
  });

  it('writes the records we send as the protocol has them', () => {
    const request = new jute.Request(
      new jute.protocol.RequestHeader(7, jute.OP_CODES.DELETE),
      new jute.protocol.DeleteRequest('/a', 0),
    );
    expect(request.toBuffer().toString('hex')).toBe(
      '00000012' + '00000007' + '00000002' + '000000022f61' + '00000000',
    );
  });

  it('throws for an error code it does not know, which would end the process, until it is taught not to', () => {
    const throttled = -127;
    expect(() => Exception.create(throttled)).toThrow('Unknown code');
    acceptUnknownCodes();
    expect(Exception.create(throttled).getCode()).toBe(throttled);
    expect(errorOfCode(throttled, 'getData', '/a')).toMatchObject({ code: 'OTHER', path: '/a' });
    expect(errorOfCode(-101, 'getData', '/a')).toMatchObject({
      code: 'NO_NODE',
      message: 'getData /a: NO_NODE',
    });
  });
});

describe('setting watches anew', () => {
  it('takes packets the server accepts, and leaves out no path', () => {
    const paths = Array.from({ length: 15_000 }, (_, index) => `/cluster/acks/worker-${index}~incarnation`);
    const requests = setWatchesRequests(
      {
        getDataWatcherPaths: () => paths.slice(0, 5_000),
        getExistenceWatcherPaths: () => paths.slice(5_000, 10_000),
        getChildWatcherPaths: () => paths.slice(10_000),
      },
      Buffer.alloc(8),
    );
    expect(requests.flatMap((request) => request.dataWatches)).toEqual(paths.slice(0, 5_000));
    expect(requests.flatMap((request) => request.existWatches)).toEqual(paths.slice(5_000, 10_000));
    expect(requests.flatMap((request) => request.childWatches)).toEqual(paths.slice(10_000));
    for (const request of requests) expect(request.byteLength()).toBeLessThan(132 * 1024);
    expect(requests.length).toBeLessThan(8);
  });

  it('sends nothing where nothing is watched', () => {
    const none = {
      getDataWatcherPaths: () => [],
      getExistenceWatcherPaths: () => [],
      getChildWatcherPaths: () => [],
    };
    expect(setWatchesRequests(none, Buffer.alloc(8))).toEqual([]);
  });
});
