/**
 * A client in a process of its own, for stories that freeze or crash one:
 * `client-process.ts bare|hardened STORY HOST:PORT PATH`. Says `ready`, and ends when its input does.
 */
import { eventually } from '../eventually.ts';
import { startClient } from '../zookeeper-clients.ts';

const [kind = '', story = '', connectString = '', path = ''] = process.argv.slice(2);
const SESSION_TIMEOUT_MS = 2_000;
const start = startClient[kind as keyof typeof startClient];
const client = start({ connectString, sessionTimeoutMs: SESSION_TIMEOUT_MS });

switch (story) {
  case 'ends at once':
    await client.end();
    console.log('ready');
    break;
  case 'throws on connecting':
    process.on('uncaughtException', () => undefined);
    client.onConnected(() => {
      throw new Error('a fault of the user’s');
    });
    await ephemeral();
    console.log('ready');
    break;
  case 'is frozen': {
    await ephemeral();
    let lastMs = performance.now();
    setInterval(() => {
      const nowMs = performance.now();
      if (nowMs - lastMs > SESSION_TIMEOUT_MS / 2) console.log(client.mayAct() ? 'acts' : 'refrains');
      lastMs = nowMs;
    }, 10);
    // Last: who reads it freezes this process at once.
    console.log('ready');
  }
}
process.stdin.on('end', () => process.exit(0)).resume();

async function ephemeral(): Promise<void> {
  await eventually('connected', () => client.isConnected(), { withinMs: 10_000 });
  await client.createEphemeral(path);
}
