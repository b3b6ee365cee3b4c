import type { TaskRecord } from '../../libs/db/stores.ts';

/** Of what users and workers have made of the task; its progress and lease do not count. */
export function etagOf({ revision, attempt }: TaskRecord): string {
  return `"${revision}.${attempt}"`;
}

/** The versions that an If-Match header (RFC 9110, section 13.1.1) allows; undefined: any. A weak one matches none. */
export function versionsOf(ifMatch: string | undefined): string[] | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  return ifMatch
    .split(',')
    .map((tag) => /^"(\d+\.\d+)"$/.exec(tag.trim())?.[1])
    .filter((version) => version !== undefined);
}
