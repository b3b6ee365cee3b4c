/** What this machine can run of the real servers, for tests that are not content with the embedded ones. */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { promisify } from 'node:util';
import { getContainerRuntimeClient } from 'testcontainers';

/** Where a real ZooKeeper can be had from: a container, or Debian's package `zookeeper` run by `java`. */
export type RealZooKeeper = 'testcontainers' | 'debian' | 'none';

export const DEBIAN_ZOOKEEPER_JAR = '/usr/share/java/zookeeper.jar';

export async function findRealZooKeeper(): Promise<RealZooKeeper> {
  if (await dockerEngineAnswers()) return 'testcontainers';
  return (await succeeds(access(DEBIAN_ZOOKEEPER_JAR))) && (await runs('java', '-version'))
    ? 'debian'
    : 'none';
}

/** Whether there is a Docker engine that testcontainers can use. */
export function dockerEngineAnswers(): Promise<boolean> {
  return succeeds(getContainerRuntimeClient());
}

/** The compose command of this machine: `docker compose` where that exists, else `docker-compose`, else none. */
export async function findCompose(): Promise<readonly string[] | undefined> {
  if (await runs('docker', 'compose', 'version')) return ['docker', 'compose'];
  return (await runs('docker-compose', 'version')) ? ['docker-compose'] : undefined;
}

function runs(program: string, ...args: readonly string[]): Promise<boolean> {
  return succeeds(promisify(execFile)(program, args));
}

function succeeds(attempt: Promise<unknown>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}
