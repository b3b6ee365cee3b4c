import { getTableConfig } from 'drizzle-orm/pg-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../testing/postgres.ts';
import type { TestDatabase } from '../testing/postgres.ts';
import { bootstrapDatabase, PartitionCountError } from './bootstrap.ts';
import { withConnection } from './client.ts';
import { loadFunctions, loadMigrations, migrate, MigrationError } from './migrate.ts';
import type { Migration } from './migrate.ts';
import { claimRecord, clusterMeta, partitionOwner, retention, task, workerSession } from './schema.ts';
import { StoreNotInitialisedError, StoreUnavailableError } from './stores.ts';

const ONE: Migration = { version: 1, name: '0001-one', sql: 'CREATE TABLE one (n integer)' };
const ALL = [...loadMigrations(), ...loadFunctions()].map(({ name }) => name);
const TWO: Migration = { version: 2, name: '0002-two', sql: 'ALTER TABLE one ADD COLUMN m integer' };

describe('cluster-init’s work on the database', () => {
  let database: TestDatabase;
  let url: string;
  beforeEach(async () => {
    database = await createTestDatabase({ migrated: false });
    url = database.url;
  });
  afterEach(() => database.drop());

  const query = async (text: string) =>
    withConnection(url, async (client) => (await client.query<Record<string, unknown>>(text)).rows);

  describe('migrate', () => {
    it('applies all of this build’s migrations and functions once', async () => {
      expect(await migrate({ url })).toEqual(ALL);
      const history = await query('SELECT * FROM schema_migration');
      expect(await migrate({ url })).toEqual([]);
      expect(await query('SELECT * FROM schema_migration')).toEqual(history);
    });

    it('applies only what is new', async () => {
      await migrate({ url, migrations: [ONE] });
      expect(await migrate({ url, migrations: [ONE, TWO] })).toEqual(['0002-two']);
    });

    it('run by several at once, is done once', async () => {
      const results = await Promise.all([1, 2, 3].map(() => migrate({ url })));
      expect(results.flat().toSorted()).toEqual(ALL);
    });

    it('undoes a migration that fails, keeps those before it, and can be run again', async () => {
      const broken = { ...TWO, sql: `${TWO.sql}; SELECT no_such_thing` };
      await expect(migrate({ url, migrations: [ONE, broken] })).rejects.toThrow('no_such_thing');
      expect(await query('SELECT version FROM schema_migration')).toEqual([{ version: 1 }]);
      expect(await migrate({ url, migrations: [ONE, TWO] })).toEqual(['0002-two']);
    });

    it('refuses a database whose applied migration is another than ours', async () => {
      await migrate({ url, migrations: [ONE] });
      for (const changed of [
        { ...ONE, sql: 'CREATE TABLE other ()' },
        { ...ONE, name: '0001-other' },
      ]) {
        await expect(migrate({ url, migrations: [changed, TWO] })).rejects.toThrow(MigrationError);
      }
      expect(await query('SELECT version FROM schema_migration')).toEqual([{ version: 1 }]);
    });

    it('does not mind the line ends of a checkout', async () => {
      const lines = { ...ONE, sql: 'CREATE TABLE one (\n n integer\n)' };
      await migrate({ url, migrations: [lines] });
      expect(
        await migrate({ url, migrations: [{ ...lines, sql: lines.sql.replaceAll('\n', '\r\n') }] }),
      ).toEqual([]);
    });

    it('refuses a database that is newer than this build', async () => {
      await migrate({ url, migrations: [ONE, TWO] });
      await expect(migrate({ url, migrations: [ONE] })).rejects.toThrow(
        'the database is newer than this build: it has migration 0002-two',
      );
    });

    it('gives up waiting for another that does not end', async () => {
      await withConnection(url, async (other) => {
        await other.query('BEGIN');
        await migrate({ url, migrations: [ONE] });
        await other.query('LOCK TABLE schema_migration');
        await expect(migrate({ url, migrations: [ONE], lockTimeoutMs: 50 })).rejects.toThrow(
          StoreUnavailableError,
        );
        await other.query('ROLLBACK');
      });
    });

    it('makes the tables that drizzle is told of', async () => {
      await migrate({ url });
      for (const table of [clusterMeta, partitionOwner, workerSession, task, claimRecord, retention]) {
        const { name, columns } = getTableConfig(table);
        const rows = await query(
          `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS "notNull"
           FROM pg_attribute WHERE attrelid = '${name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
        );
        expect(rows).toEqual(
          columns.map((column) => ({
            name: column.name,
            type: column.getSQLType(),
            notNull: column.notNull,
          })),
        );
      }
    });
  });

  describe('bootstrap', () => {
    it('records the cluster and its partitions', async () => {
      await migrate({ url });
      expect(await bootstrapDatabase({ url, uid: 'first', partitions: 8 })).toEqual({
        uid: 'first',
        partitions: 8,
      });
      expect(
        await query('SELECT count(*)::integer AS n, max(partition_id) AS last FROM partition_owner'),
      ).toEqual([{ n: 8, last: 7 }]);
    });

    it('again with the same count changes nothing and tells the first uid', async () => {
      await migrate({ url });
      await bootstrapDatabase({ url, uid: 'first', partitions: 8 });
      await query(`UPDATE partition_owner SET epoch = 5 WHERE partition_id = 3`);
      const before = await query('SELECT *, xmin FROM cluster_meta');
      const rows = await query('SELECT *, xmin FROM partition_owner ORDER BY 1');
      expect(await bootstrapDatabase({ url, uid: 'second', partitions: 8 })).toEqual({
        uid: 'first',
        partitions: 8,
      });
      expect(await query('SELECT *, xmin FROM cluster_meta')).toEqual(before);
      expect(await query('SELECT *, xmin FROM partition_owner ORDER BY 1')).toEqual(rows);
    });

    it.each([4, 16])('with another count, %i, refuses and changes nothing', async (partitions) => {
      await migrate({ url });
      await bootstrapDatabase({ url, uid: 'first', partitions: 8 });
      const refusal = await bootstrapDatabase({ url, uid: 'second', partitions }).catch(
        (error: unknown) => error,
      );
      expect(refusal).toBeInstanceOf(PartitionCountError);
      expect(refusal).toMatchObject({
        stored: { uid: 'first', partitions: 8 },
        requested: partitions,
        message: `this cluster has 8 partitions, which are fixed once it exists; it cannot get ${partitions}`,
      });
      expect(await query('SELECT count(*)::integer AS n FROM partition_owner')).toEqual([{ n: 8 }]);
    });

    it('run by two at once, agrees on one uid', async () => {
      const both = await Promise.all(
        ['first', 'second'].map(async (uid) => {
          await migrate({ url });
          return bootstrapDatabase({ url, uid, partitions: 8 });
        }),
      );
      expect(both[0]).toEqual(both[1]);
    });

    it('before migrating says that the database is not initialised', async () => {
      await expect(bootstrapDatabase({ url, uid: 'first', partitions: 8 })).rejects.toThrow(
        StoreNotInitialisedError,
      );
    });
  });
});
