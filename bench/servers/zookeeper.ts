import { connect } from 'node:net';

export interface ZooKeeperCounts {
  /** Packets from clients so far. */
  readonly received: number;
  /** Transactions so far: by the number of the last. */
  readonly written: number;
}

/** By the administrative command `srvr`, which is counted too: two differ by what there was in between, and one. */
export async function zookeeperCounts(address: string): Promise<ZooKeeperCounts> {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host).setEncoding('utf8');
  socket.end('srvr');
  let answer = '';
  for await (const text of socket) answer += String(text);
  const [, received = '', zxid = ''] = /^Received: (\d+)$[^]*^Zxid: (0x[0-9a-f]+)$/m.exec(answer) ?? [];
  // The upper half of a zxid is the epoch of an ensemble's leader.
  return { received: Number(received), written: Number(BigInt(zxid) & 0xffffffffn) };
}
