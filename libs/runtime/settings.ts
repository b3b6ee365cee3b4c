/**
 * Every environment variable of the product, in one table: the apps pick from it, and README.md's
 * configuration table and .env.example are checked against it.
 */
import { hostname } from 'node:os';
import { databaseUrl, decimal, digestCredentials, integer, oneOf, text } from './config.ts';

const NAME = {
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
  form: '1–100 letters, digits, dots, dashes or underscores',
};

export const settings = {
  DATABASE_URL: databaseUrl({ description: 'Postgres, as postgres://user:password@host:5432/database' }),
  ZOOKEEPER_CONNECT: text({
    description: 'ZooKeeper servers, as host:2181,host:2181',
    pattern: /^[^,:/\s]+:\d{1,5}(,[^,:/\s]+:\d{1,5})*$/,
    form: 'host:port, several separated by commas',
  }),
  ZOOKEEPER_AUTH: digestCredentials({
    description:
      'Credentials for ZooKeeper, as user:password: others may then read the cluster’s znodes only',
    default: '',
  }),
  CLUSTER_NAME: text({ description: 'Root znode of the cluster', default: 'scheduler-cluster', ...NAME }),
  PARTITIONS: integer({
    description:
      'Partitions of a new cluster; fixed once it exists. Aim for ten times the workers you expect',
    default: '64',
    min: 1,
    max: 65_536,
  }),
  SESSION_TIMEOUT_MS: integer({
    description:
      'ZooKeeper session timeout and length of a worker’s lease in Postgres: T of the failover bound',
    default: '4000',
    min: 1_000,
    max: 60_000,
  }),
  HOST: text({
    description: 'Address the API listens on',
    default: '127.0.0.1',
    pattern: /^\S+$/,
    form: 'an address',
  }),
  PORT: integer({ description: 'Port the API listens on', default: '8080', min: 0, max: 65_535 }),
  WORKER_ID: text({
    description: 'Name of this worker, unique among live ones',
    default: hostname(),
    ...NAME,
  }),
  DEFAULT_HANDLER: oneOf({
    description:
      'What becomes of tasks without a handler: log completes them with a log line, none lets them wait for a worker that has one',
    default: 'log',
    values: ['log', 'none'],
  }),
  HANDLERS_DIR: text({
    description: 'Folder of this worker’s handlers: modules, one a task name',
    default: './handlers',
    pattern: /\S/,
    form: 'a path',
  }),
  WORKER_ZONE: text({
    description: 'Zone this worker runs in: partitions are shared among zones by their weight first',
    default: '',
    pattern: /^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$/,
    form: NAME.form,
  }),
  WORKER_WEIGHT: integer({
    description: 'Share of the partitions, relative to the other workers’ weights',
    default: '1',
    min: 1,
    max: 1_000,
  }),
  WORKER_TAGS: text({
    description:
      'Tags of this worker, separated by commas: a cluster may require one of whom it gives partitions',
    default: '',
    pattern: /^([A-Za-z0-9][A-Za-z0-9._-]{0,99}(,(?!$)|$)){0,32}$/,
    form: 'names separated by commas, 32 at most',
  }),
  CONTROLLER_ID: text({ description: 'Name of this controller', default: hostname(), ...NAME }),
  WORKER_CONCURRENCY: integer({
    description: 'Tasks one worker runs at a time',
    default: '100',
    min: 1,
    max: 10_000,
  }),
  SHUTDOWN_GRACE_MS: integer({
    description: 'How long a stopping worker lets running handlers finish before it hands their tasks back',
    default: '10000',
    min: 0,
    max: 3_600_000,
  }),
  WEDGED_AFTER_MS: integer({
    description: 'A worker whose event loop has been blocked this long gives up its partitions and its lease',
    default: '30000',
    min: 1_000,
    max: 3_600_000,
  }),
  RETENTION_DAYS: decimal({
    description: 'Days for which tasks that have ended are kept, such as 7 or 0.5; 0: for ever',
    default: '7',
    min: 0,
    max: 36_500,
  }),
  IDEMPOTENCY_KEY_HOURS: decimal({
    description: 'Hours for which the API remembers an Idempotency-Key',
    default: '24',
    min: 0.01,
    max: 8_760,
  }),
  DATABASE_POOL_SIZE: integer({
    description: 'Postgres connections of one process, at most',
    default: '12',
    min: 1,
    max: 200,
  }),
  LOG_LEVEL: oneOf({
    description: 'Least severe log line written',
    default: 'info',
    values: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'],
  }),
  LOG_FORMAT: oneOf({
    description: 'json, pretty, or auto: pretty in a terminal and json elsewhere',
    default: 'auto',
    values: ['auto', 'json', 'pretty'],
  }),
};
