/**
 * A process of its own that runs an embedded Postgres, for tests of what becomes of the server when its parent
 * is killed or is another user: `start-postgres.ts DATADIR` writes `{"url","pid"}`, or `{"error"}`, and stays.
 */
import { startEmbeddedPostgres } from '../embedded/postgres.ts';

const report = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
try {
  const [, , dataDir = ''] = process.argv;
  const { url, pid } = await startEmbeddedPostgres({ dataDir, settings: { fsync: 'off' } });
  report({ url, pid });
} catch (error) {
  report({ error: (error as Error).message });
}
