import { defineConfig } from 'vitest/config';

/**
 * unit: no servers. simulation: the whole cluster on virtual time, many times. integration: real Postgres and
 * ZooKeeper, one app or library at a time. e2e: whole clusters of real processes, one file at a time. For npm run
 * test:full besides: faults, the outages that take a minute and the ensembles; compose, the containers; benchmark, a short
 * one.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{apps,bench,handlers,libs,simulation,test}/**/*.test.ts'],
          exclude: [
            '**/*.integration.test.ts',
            'simulation/*.test.ts',
            'test/{benchmark,e2e,faults,compose}/**',
            '**/node_modules/**',
          ],
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['simulation/*.test.ts'],
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['{apps,libs,simulation,test}/**/*.integration.test.ts'],
          globalSetup: ['libs/testing/postgres-global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['libs/testing/postgres-global-setup.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          globalSetup: ['libs/testing/postgres-global-setup.ts'],
          fileParallelism: false,
          maxConcurrency: 2,
          testTimeout: 240_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'benchmark',
          include: ['test/benchmark/**/*.test.ts'],
        },
      },
      {
        test: {
          name: 'compose',
          include: ['test/compose/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
    maxWorkers: 2,
  },
});
