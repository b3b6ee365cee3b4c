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
  return (await hasDebianZooKeeper()) ? 'debian' : 'none';
}

/** Whether Debian's package `zookeeper` is installed, and a `java` to run its servers and its command line. */
export async function hasDebianZooKeeper(): Promise<boolean> {
  return (await succeeds(access(DEBIAN_ZOOKEEPER_JAR))) && (await runs('java', '-version'));
}

/** A Python that has the package kazoo: the first on the path, or Debian's own. */
export async function findPythonWithKazoo(): Promise<string | undefined> {
  for (const python of ['python3', '/usr/bin/python3']) {
    if (await runs(python, '-c', 'import kazoo')) return python;
  }
  return undefined;
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
