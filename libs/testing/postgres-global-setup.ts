/**
 * One Postgres for a test run: the server at TEST_DATABASE_URL, else an embedded one. vitest calls this once a
 * project; the first call starts, the last one to end stops. The databases of the tests are copies of a
 * migrated template.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { migrate } from '../db/migrate.ts';
import { startEmbeddedPostgres } from '../embedded/postgres.ts';
import { databaseUrl, TEST_SERVER_SETTINGS, withAdmin } from './postgres-admin.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Of a superuser, who makes and drops the tests' databases. */
    postgresAdminUrl: string;
    /** A migrated database to copy. */
    postgresTemplate: string;
  }
}

interface SharedServer {
  users: number;
  readonly started: Promise<{ adminUrl: string; template: string; stop: () => Promise<void> }>;
}

// vitest loads this module anew for each project: what they share hangs on the process.
const KEY = Symbol.for('scheduler.test-postgres');
const shared = globalThis as { [KEY]?: SharedServer | undefined };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = (shared[KEY] ??= { users: 0, started: startServer() });
  server.users += 1;
  const { adminUrl, template, stop } = await server.started;
  project.provide('postgresAdminUrl', adminUrl);
  project.provide('postgresTemplate', template);
  return async () => {
    server.users -= 1;
    if (server.users > 0) return;
    shared[KEY] = undefined;
    await stop();
  };
}

async function startServer() {
  const given = process.env['TEST_DATABASE_URL'];
  const server = given ? { adminUrl: given, stop: () => Promise.resolve() } : await startOwnServer();
  const { adminUrl } = server;
  const template = `test_template_${process.pid}_${Date.now()}`;
  try {
    await withAdmin(adminUrl, (admin) => admin.query(`CREATE DATABASE ${template}`));
    await migrate({ url: databaseUrl(adminUrl, template) });
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    adminUrl,
    template,
    async stop() {
      await withAdmin(adminUrl, (admin) => admin.query(`DROP DATABASE ${template}`));
      await server.stop();
    },
  };
}

async function startOwnServer() {
  const dataDir = await mkdtemp(join(tmpdir(), 'test-postgres-'));
  const server = await startEmbeddedPostgres({ dataDir, settings: TEST_SERVER_SETTINGS });
  return {
    adminUrl: server.url,
    async stop() {
      await server.stop('immediate');
      await rm(dataDir, { recursive: true });
    },
  };
}
