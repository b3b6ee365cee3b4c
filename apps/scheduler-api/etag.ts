import type { TaskRecord } from '../../libs/db/stores.ts';

/**
 * Of what users and workers have made of the task; its progress and lease do not count. Marked while it runs: the attempt is
 * the same when it has ended.
 */
export function etagOf({
  revision,
  attempt,
  status,
}: Pick<TaskRecord, 'revision' | 'attempt' | 'status'>): string {
  return `"${revision}.${attempt}${status === 'RUNNING' ? '+' : ''}"`;
}

/** The versions that an If-Match header (RFC 9110, section 13.1.1) allows; undefined: any. A weak one matches none, that of a task that runs none that waits. */
export function versionsOf(ifMatch: string | undefined): string[] | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  return ifMatch
    .split(',')
    .map((tag) => /^"(\d+\.\d+\+?)"$/.exec(tag.trim())?.[1])
    .filter((version) => version !== undefined);
}
