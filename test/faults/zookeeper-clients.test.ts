/**
 * Clients not written here, where they are installed, against the embedded ZooKeeper: each does what it does against
 * a real one, where there is one to compare with.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPythonWithKazoo, hasDebianZooKeeper } from '../../libs/testing/real-servers.ts';
import type { TestZooKeeper } from '../../libs/testing/zookeeper.ts';
import { startRealZooKeeper } from '../../libs/testing/zookeeper.ts';
import { startEmbedded } from '../../libs/testing/zookeeper/embedded.ts';
import { runKazooStory, runZooKeeperMain } from '../../libs/testing/zookeeper/other-clients.ts';

const TICK_MS = 500;
const COMMANDS = [
  'create /a hello',
  'create /a again',
  'create /nowhere/b data',
  'get -s /a',
  'set /a there',
  'set -v 7 /a x',
  'get /a',
  'create -e /a/ephemeral data',
  'create -s /a/s- data',
  'create -e -s /a/es- data',
  'create /a/ephemeral/child data',
  'ls /a',
  'ls -s /a',
  'ls -R /a',
  'get -w /a',
  'stat -w /a/soon',
  'ls -w /a',
  'create /a/soon data',
  'set /a once-more',
  'stat /a',
  'getEphemerals',
  'getEphemerals /a/es-',
  'getAllChildrenNumber /a',
  'delete /a',
  'delete -v 3 /a/soon',
  'delete /a/ephemeral',
  'sync /a',
  'create /private data digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=:cdrwa',
  'get /private',
  'getAcl /private',
  'addauth digest u:p',
  'get /private',
  'getAcl -s /private',
  'setAcl -s /private world:anyone:r',
  'set /private data',
  'setAcl /a auth::cdrwa',
  'deleteall /a',
  'delete /private',
  'ls -R /',
  'get /zookeeper/config',
];

const python = await findPythonWithKazoo();
const commandLine = await hasDebianZooKeeper();

describe('clients not written here', () => {
  let embedded: TestZooKeeper;
  let real: TestZooKeeper | undefined;
  beforeAll(async () => {
    [embedded, real] = await Promise.all([startEmbedded(TICK_MS), startRealZooKeeper(TICK_MS)]);
  });
  afterAll(async () => {
    await Promise.all([embedded.stop(), real?.stop()]);
  });

  /** What `client` makes of the embedded server, having seen that it makes the same of a real one. */
  async function compared<T>(client: (connectString: string) => Promise<T>): Promise<T> {
    const [ours, theirs] = await Promise.all([
      client(embedded.connectString),
      real === undefined ? undefined : client(real.connectString),
    ]);
    if (real !== undefined) expect(ours).toEqual(theirs);
    return ours;
  }

  it.skipIf(!commandLine)('ZooKeeper’s command-line client', async () => {
    const { printed, events } = await compared((server) => runZooKeeperMain(server, COMMANDS));
    expect(printed).toEqual(
      expect.arrayContaining([
        'Created /a',
        'Node already exists: /a',
        'Created /a/s-0000000001',
        'Created /a/es-0000000002',
        '[/a/es-0000000002]',
        "'digest,'u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=",
        'Sync is OK',
      ]),
    );
    expect(events).toEqual([
      'type:NodeCreated path:/a/soon',
      'type:NodeChildrenChanged path:/a',
      'type:NodeDataChanged path:/a',
    ]);
  });

  it.skipIf(!commandLine)('is told of what is not spoken here, and goes on in its session', async () => {
    const commands = ['create -e /of-this-session data', 'addWatch /a', 'sync /', 'sync /', 'getEphemerals'];
    const { printed } = await runZooKeeperMain(embedded.connectString, commands);
    expect(printed).toContain('KeeperErrorCode = Unimplemented for /a');
    expect(printed).toContain('[/of-this-session]');
  });

  it.skipIf(python === undefined)('kazoo', async () => {
    const story = await compared((server) => runKazooStory(python ?? '', server));
    expect(story).toEqual(
      expect.arrayContaining([
        ['create', '/nodes'],
        [
          'one-shot events',
          [
            ['CREATED', '/watched/child'],
            ['CHILD', '/watched'],
            ['CHANGED', '/watched'],
          ],
        ],
        ['refused transaction', ['RolledBackError', 'BadVersionError', 'RuntimeInconsistency']],
        ['Lock', ['first lets go', 'second has it']],
        ['Election', ['leads']],
        ['a cut connection', [['SUSPENDED', 'CONNECTED'], true, true]],
        ['a lost session', [true, true]],
      ]),
    );
    expect(story.at(-1)).toEqual(['stopped', true]);
  });
});
