import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { eventually } from '../eventually.ts';

/** A JVM on a busy machine; usually 1 to 2 s. */
const START_MS = 60_000;

/** Resolves once the server on this port of this machine answers `srvr` with its mode: it serves clients. */
export async function untilServing(host: string, port: number): Promise<void> {
  await eventually(`a ZooKeeper serving on ${host}:${port}`, () => answerOf(host, port).then(isServing), {
    withinMs: START_MS,
    everyMs: 50,
  });
}

const isServing = (answer: string) => answer.includes('Mode: ');

/** What a member of an ensemble is now; `undefined` where it does not serve. */
export async function modeOf(host: string, port: number): Promise<'leader' | 'follower' | undefined> {
  const answer = await answerOf(host, port).catch(() => '');
  return /^Mode: (leader|follower)$/m.exec(answer)?.[1] as 'leader' | 'follower' | undefined;
}

function answerOf(host: string, port: number): Promise<string> {
  const socket = connect({ host, port, timeout: 1_000 });
  socket.on('timeout', () => socket.destroy());
  socket.end('srvr');
  return text(socket);
}

/** A port that is free now. A server that must keep its address over a restart cannot ask for just any. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

/** As many different ports, all free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
