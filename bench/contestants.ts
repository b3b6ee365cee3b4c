/** Who can be measured, each new for a scenario. */
import type { Bench } from './bench.ts';
import type { Contestant } from './contestants/contestant.ts';
import { PeerContestant } from './contestants/peer-contestant.ts';
import { ProjectContestant } from './contestants/project.ts';

export const CONTESTANTS = ['project', 'raw-sql', 'graphile-worker', 'pg-boss', 'bullmq'] as const;
export type ContestantName = (typeof CONTESTANTS)[number];

/** What each of the peers is set up with, as its own documentation says for many small tasks. */
const SETUPS = {
  'raw-sql':
    'the statements of this project: an insert for each task on four connections; claims and finishes of up to 500 ' +
    'tasks on two, which poll without pause',
  'graphile-worker':
    'localQueue 1000, 48 concurrent jobs, completeJobBatchDelay 0, NO_LOG_SUCCESS; no history',
  'pg-boss':
    'batches of 1000, 2 workers, burstWhenBatchFull, LISTEN/NOTIFY, polling every 0.5 s; history kept',
  bullmq:
    'Redis with AOF everysec, concurrency 200, removeOnComplete; no history, acknowledged before it is durable',
} as const;

/** Contestants of these names; without those that this machine lacks a server for or that `--only` leaves out. */
export function contestants(bench: Bench, names: readonly ContestantName[] = CONTESTANTS): Contestant[] {
  return names.filter((name) => takesPart(bench, name)).map((name) => contestant(bench, name));
}

export function takesPart({ options, redis }: Bench, name: ContestantName): boolean {
  if (name === 'bullmq' && redis === undefined) return false;
  return options.only.length === 0 || options.only.includes(name);
}

function contestant(bench: Bench, name: ContestantName): Contestant {
  const { postgres, redis } = bench;
  if (name === 'project') {
    return new ProjectContestant(bench, { name, createDatabase: () => postgres.create(name) });
  }
  if (name === 'bullmq') {
    const createDatabase = () => Promise.resolve(`redis://127.0.0.1:${redis?.port ?? 0}`);
    return new PeerContestant(bench, { name, setup: SETUPS[name], createDatabase });
  }
  return new PeerContestant(bench, {
    name,
    setup: SETUPS[name],
    createDatabase: () => postgres.create(name),
    ...(name === 'graphile-worker' && { env: { NO_LOG_SUCCESS: '1' } }),
  });
}
