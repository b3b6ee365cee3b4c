/** Who can be measured, each new for a scenario. */
import type { Bench } from './bench.ts';
import type { Contestant } from './contestants/contestant.ts';
import { PeerContestant } from './contestants/peer-contestant.ts';
import { ProjectContestant } from './contestants/project.ts';

/** Those that schedule tasks. */
export const SCHEDULERS = ['project', 'raw-sql', 'graphile-worker', 'pg-boss', 'bullmq'] as const;
export type SchedulerName = (typeof SCHEDULERS)[number];
/** Everyone; fastify takes submissions only (bare-http.ts). */
export const CONTESTANTS = [...SCHEDULERS, 'fastify'] as const;
export type ContestantName = (typeof CONTESTANTS)[number];

/** What each of the peers is set up with, as its own documentation says for many small tasks. */
const SETUPS = {
  'raw-sql':
    'the statements of this project: what comes one by one during an INSERT is written by the next; claims and finishes of up to 1000 ' +
    'tasks on two, which poll every ms while nothing is due; payloads that do not fit into a claim on a third',
  'graphile-worker':
    'localQueue 500, 12 concurrent jobs, a pool of 13 connections, completeJobBatchDelay 0, polling every 0.1 s ' +
    '(for jobs not due yet; its default is 2 s), NO_LOG_SUCCESS; no history',
  'pg-boss':
    'batches of 1000 (of a backlog 8000), 2 workers, burstWhenBatchFull, LISTEN/NOTIFY, polling every 0.5 s; history kept',
  bullmq:
    'Redis with AOF everysec, concurrency 200, removeOnComplete; no history, acknowledged before it is durable',
} as const;

/** Schedulers of these names; without those that this machine lacks a server for or that `--only` leaves out. */
export function contestants(bench: Bench, names: readonly SchedulerName[] = SCHEDULERS): Contestant[] {
  return names.filter((name) => takesPart(bench, name)).map((name) => contestant(bench, name));
}

export function takesPart({ options, redis }: Bench, name: ContestantName): boolean {
  if (name === 'bullmq' && redis === undefined) return false;
  return options.only.length === 0 || options.only.includes(name);
}

function contestant(bench: Bench, name: SchedulerName): Contestant {
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
