import { connect } from 'node:net';

/**
 * The last transaction's number, counted from 1, by the administrative command `srvr`: the difference of two is how
 * many writes there were in between.
 */
export async function zxid(address: string): Promise<number> {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host).setEncoding('utf8');
  socket.end('srvr');
  let answer = '';
  for await (const text of socket) answer += String(text);
  // Its upper half is the epoch of an ensemble's leader.
  return Number(BigInt(/^Zxid: (0x[0-9a-f]+)$/m.exec(answer)?.[1] ?? '0x0') & 0xffffffffn);
}
