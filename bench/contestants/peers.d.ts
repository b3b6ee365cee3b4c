/** The part of the peers' interfaces that is used: they are installed for a run of the benchmark only. */

declare module 'graphile-worker' {
  import type { Pool } from 'pg';

  interface Utils {
    addJob(identifier: string, payload: unknown): Promise<unknown>;
    addJobs(jobs: readonly { identifier: string; payload: unknown; runAt?: Date }[]): Promise<unknown>;
    release(): Promise<void>;
  }
  export function makeWorkerUtils(options: { pgPool: Pool }): Promise<Utils>;
  export function runMigrations(options: { pgPool: Pool }): Promise<void>;
  export function run(options: {
    preset: { worker: Record<string, unknown> };
    noHandleSignals: boolean;
    taskList: Record<string, (payload: unknown) => void>;
  }): Promise<{ stop(): Promise<void> }>;
}

declare module 'pg-boss' {
  export class PgBoss {
    constructor(options: {
      connectionString: string;
      supervise?: boolean;
      schedule?: boolean;
      max?: number;
      useListenNotify?: boolean;
    });
    on(event: 'error', listener: (error: Error) => void): this;
    start(): Promise<this>;
    stop(options: { graceful: boolean }): Promise<void>;
    createQueue(name: string, options: { notify: boolean }): Promise<void>;
    insert(name: string, jobs: readonly { data: object; startAfter?: Date }[]): Promise<unknown>;
    send(name: string, data: object): Promise<unknown>;
    work(
      name: string,
      options: Record<string, unknown>,
      handler: (jobs: readonly { data: object }[]) => Promise<void>,
    ): Promise<string>;
    getDb(): { executeSql(text: string, values: unknown[]): Promise<{ rows: unknown[] }> };
  }
}

declare module 'bullmq' {
  interface JobOptions {
    removeOnComplete: boolean;
    delay?: number;
  }
  export class Queue<T> {
    constructor(name: string, options: { connection: object });
    add(name: string, data: T, options: JobOptions): Promise<unknown>;
    addBulk(jobs: readonly { name: string; data: T; opts: JobOptions }[]): Promise<unknown>;
    getJobCounts(...states: string[]): Promise<Record<string, number>>;
    obliterate(options: { force: boolean }): Promise<void>;
    close(): Promise<void>;
  }
  export class Worker<T> {
    constructor(
      name: string,
      handler: (job: { data: T }) => Promise<void>,
      options: { connection: object; concurrency: number },
    );
    on(event: 'error', listener: (error: Error) => void): this;
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
  }
}
