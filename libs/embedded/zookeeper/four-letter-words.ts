import type { StateMachine } from './state-machine.ts';

/**
 * The answer to one of ZooKeeper's administrative commands: four bytes sent in place of a handshake. `ruok` is
 * what health checks ask, `srvr` what people do. `undefined` for anything else.
 */
export function answerFourLetterWord(
  word: string,
  machine: StateMachine,
  connections: number,
): string | undefined {
  if (word === 'ruok') return 'imok';
  if (word !== 'srvr') return undefined;
  const facts = {
    'Zookeeper version': 'embedded (protocol of 3.8)',
    Connections: connections,
    Zxid: `0x${machine.zxid.toString(16)}`,
    Mode: 'standalone',
    'Node count': machine.znodeCount,
  };
  return Object.entries(facts)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('');
}
