import type { StateMachine } from './state-machine.ts';

export interface Traffic {
  /** Open now. */
  readonly connections: number;
  /** Packets so far, handshakes and these commands among them. */
  readonly received: number;
}

/**
 * The answer to one of ZooKeeper's administrative commands: four bytes sent in place of a handshake. `ruok` is
 * what health checks ask, `srvr` what people do. `undefined` for anything else.
 */
export function answerFourLetterWord(
  word: string,
  machine: StateMachine,
  { connections, received }: Traffic,
): string | undefined {
  if (word === 'ruok') return 'imok';
  if (word !== 'srvr') return undefined;
  const facts = {
    'Zookeeper version': 'embedded (protocol of 3.8)',
    Received: received,
    Connections: connections,
    Zxid: `0x${machine.zxid.toString(16)}`,
    Mode: 'standalone',
    'Node count': machine.znodeCount,
  };
  return Object.entries(facts)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('');
}
