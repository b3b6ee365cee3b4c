/** Databases for tests, on the server that postgres-global-setup.ts has brought up. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { startEmbeddedPostgres } from '../embedded/postgres.ts';
import { databaseUrl, withAdmin } from './postgres-admin.ts';

export interface TestDatabase {
  readonly url: string;
  /** Fails where connections to it are still open after 5 s: a leaked pool is a fault of the test's subject. */
  drop(): Promise<void>;
}

/**
 * A database of the test file's own.
 * @param options.migrated false for an empty one, as cluster-init finds it; true by default: migrated, and
 *   without a cluster (see `bootstrapDatabase`)
 */
export async function createTestDatabase({ migrated = true } = {}): Promise<TestDatabase> {
  const adminUrl = inject('postgresAdminUrl');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const template = migrated ? inject('postgresTemplate') : 'template0';
  await withAdmin(adminUrl, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  return {
    url: databaseUrl(adminUrl, name),
    async drop() {
      await withAdmin(adminUrl, (admin) => admin.query(`DROP DATABASE ${name}`));
    },
  };
}

/** A server of the test's own, which it may stop and start. Durable, unlike the shared one. */
export interface PrivatePostgres {
  readonly url: string;
  /** Stops the server as an administrator's restart would; its data stays. */
  halt(): Promise<void>;
  /** Starts it again, at the same URL. */
  resume(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

export async function startPrivatePostgres(): Promise<PrivatePostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'private-postgres-'));
  const server = await startEmbeddedPostgres({ dataDir });
  return {
    url: server.url,
    halt: () => server.stop(),
    resume: () => server.restart(),
    async stop() {
      await server.stop();
      await rm(dataDir, { recursive: true });
    },
  };
}
