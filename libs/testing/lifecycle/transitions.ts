/** Which changes of a task anybody may ever see, whatever the model says. */
import { isDeepStrictEqual } from 'node:util';
import type { TaskStatus } from '../../core/task.ts';
import type { TaskRecord } from '../../db/stores.ts';
import { TURN_CHANGES } from './lines.ts';

/** What was just done, by anybody, to any task. */
export type Event =
  'submit' | 'patch' | 'cancel' | 'retry' | 'run' | 'remove' | 'claim' | 'outcome' | 'recovery' | 'other';

type Seen = TaskRecord | null;

const BY_USERS: readonly Event[] = ['patch', 'cancel', 'retry', 'run'];
const ENDS: readonly Event[] = ['outcome', 'recovery'];
/** By what a task may come from one status to the next; to the same one: otherwise changed. */
const LEGAL: Record<TaskStatus, Partial<Record<TaskStatus | 'GONE', readonly Event[]>>> = {
  PENDING: { PENDING: ['patch', 'run'], RUNNING: ['claim'], CANCELLED: ['cancel'], GONE: ['remove'] },
  RUNNING: {
    ...{ RUNNING: ['cancel'], PENDING: ENDS, COMPLETED: ['outcome'] },
    ...{ FAILED: ENDS, CANCELLED: ENDS, GONE: ENDS },
  },
  COMPLETED: { GONE: ['remove'] },
  FAILED: { PENDING: ['retry'], GONE: ['remove'] },
  CANCELLED: { PENDING: ['retry'], GONE: ['remove'] },
};

/** Every change of status and of turn that there is, as "from to to". */
export const EVERY_CHANGE: readonly string[] = [
  ...Object.entries(LEGAL).flatMap(([from, to]) => Object.keys(to).map((after) => changeOf(from, after))),
  ...TURN_CHANGES,
];

export function changeOf(from: string, to: string): string {
  return `${from} to ${to}`;
}

/** What is wrong about a task that was `before` and is `after` when `event` has happened; undefined: nothing. */
export function illegal(before: Seen, after: Seen, event: Event): string | undefined {
  if (before === null) return after === null ? undefined : `came back by ${event}`;
  if (isDeepStrictEqual(before, after)) return undefined;
  const by = LEGAL[before.status][after?.status ?? 'GONE'];
  if (by?.includes(event) !== true)
    return `went from ${before.status} to ${after?.status ?? 'GONE'} by ${event}`;
  if (after === null) return undefined;
  const grown = {
    attempt: after.attempt - before.attempt,
    failures: after.failures - before.failures,
    revision: after.revision - before.revision,
  };
  if (grown.attempt !== (event === 'claim' ? 1 : 0)) return `attempt grew by ${grown.attempt} by ${event}`;
  if (grown.revision !== (BY_USERS.includes(event) ? 1 : 0))
    return `revision grew by ${grown.revision} by ${event}`;
  if (
    event === 'retry'
      ? after.failures !== 0
      : grown.failures !== 0 && !(ENDS.includes(event) && grown.failures === 1)
  )
    return `failures went from ${before.failures} to ${after.failures} by ${event}`;
  return undefined;
}
