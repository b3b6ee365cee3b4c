/** Which processes a local cluster has, and what each is told. */
import { fileURLToPath } from 'node:url';
import type { LocalClusterOptions } from './command-line.ts';
import type { ProcessSpec } from './supervised-process.ts';

export interface Servers {
  readonly databaseUrl: string;
  readonly zookeeperConnect: string;
}

export interface AppSpecs {
  readonly clusterInit: ProcessSpec;
  readonly controllers: readonly ProcessSpec[];
  readonly workers: readonly ProcessSpec[];
  readonly api: ProcessSpec;
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The embedded ZooKeeper, which keeps its data in `dataDir`. */
export function zookeeperSpec(dataDir: string, { logFormat }: LocalClusterOptions): ProcessSpec {
  return {
    name: 'zookeeper',
    file: file('zookeeper-process.ts'),
    args: [dataDir],
    env: { LOG_FORMAT: logFormat },
  };
}

/** The product's own processes; `options.port` is the port the API gets. */
export function appSpecs(options: LocalClusterOptions, servers: Servers): AppSpecs {
  const env = {
    DATABASE_URL: servers.databaseUrl,
    ZOOKEEPER_CONNECT: servers.zookeeperConnect,
    LOG_FORMAT: options.logFormat,
  };
  const app = (name: string, main: string, own: Record<string, string>): ProcessSpec => ({
    name,
    file: file(`../../../apps/${main}/main.ts`),
    env: { ...env, ...own },
  });
  return {
    clusterInit: app('cluster-init', 'cluster-init', { PARTITIONS: String(options.partitions) }),
    controllers: numbered('controller', options.controllers).map((id) =>
      app(id, 'controller', { CONTROLLER_ID: id }),
    ),
    workers: workerIds(options).map((id) => app(id, 'worker-node', { WORKER_ID: id })),
    api: app('scheduler-api', 'scheduler-api', { HOST: options.host, PORT: String(options.port) }),
  };
}

export function workerIds(options: LocalClusterOptions): string[] {
  return numbered('worker', options.workers);
}

/** The names of all processes, in the order in which they start. */
export function processNames(options: LocalClusterOptions): string[] {
  const { clusterInit, controllers, workers, api } = appSpecs(options, {
    databaseUrl: '',
    zookeeperConnect: '',
  });
  return ['postgres', 'zookeeper', ...[clusterInit, ...controllers, ...workers, api].map(({ name }) => name)];
}

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}
