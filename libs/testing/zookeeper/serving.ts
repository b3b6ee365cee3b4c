import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { eventually } from '../eventually.ts';

/** A JVM on a busy machine; usually 1 to 2 s. */
const START_MS = 60_000;

/** Resolves once the server on this port of this machine answers `srvr` with its mode: it serves clients. */
export async function untilServing(host: string, port: number): Promise<void> {
  await eventually(
    `a ZooKeeper serving on ${host}:${port}`,
    async () => {
      const socket = connect({ host, port, timeout: 1_000 });
      socket.on('timeout', () => socket.destroy());
      socket.end('srvr');
      return (await text(socket)).includes('Mode: ');
    },
    { withinMs: START_MS, everyMs: 50 },
  );
}

/** A port that is free now. A server that must keep its address over a restart cannot ask for just any. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
