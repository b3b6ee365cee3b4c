import type { TaskStatus } from '../libs/core/task.ts';
import type { TaskState } from './store/database.ts';

/** From where to where each statement may bring a task that it leaves standing; to the same: it changes something else. */
const BY: Readonly<Record<string, readonly `${TaskStatus} to ${TaskStatus}`[]>> = {
  'claim-tasks': ['PENDING to RUNNING'],
  'finish-tasks': ['RUNNING to PENDING', 'RUNNING to COMPLETED', 'RUNNING to FAILED', 'RUNNING to CANCELLED'],
  'recover-tasks': ['RUNNING to PENDING', 'RUNNING to FAILED', 'RUNNING to CANCELLED'],
  'remove-task': ['RUNNING to RUNNING'],
  'cancel-task': ['PENDING to CANCELLED', 'RUNNING to RUNNING'],
  'retry-task': ['FAILED to PENDING', 'CANCELLED to PENDING'],
  'report-progress': ['RUNNING to RUNNING'],
  'run-task': ['PENDING to PENDING'],
  'patch-task': ['PENDING to PENDING'],
};
const BY_USERS = new Set(['cancel-task', 'retry-task', 'run-task', 'patch-task']);

/** What is wrong about a change of a task by `statement`; undefined: nothing. */
export function illegalChange(before: TaskState, after: TaskState, statement: string): string | undefined {
  // Its turn in a line has come, or gone to another, whoever has changed the line.
  const isTurn = before.blocked !== after.blocked && before.revision === after.revision;
  if (isTurn && before.status === 'PENDING' && after.status === 'PENDING') return undefined;
  const change = `${before.status} to ${after.status}` as const;
  if (BY[statement]?.includes(change) !== true) {
    // That it runs twice is told by whoever looks at claims.
    if (statement === 'claim-tasks' && before.status === 'RUNNING') return undefined;
    return `went from ${change} by ${statement}, attempt ${before.attempt} being the last`;
  }
  const revised = after.revision - before.revision;
  if (revised !== (BY_USERS.has(statement) ? 1 : 0)) return `has ${revised} revisions more by ${statement}`;
  if (statement === 'retry-task' ? after.failures !== 0 : after.failures < before.failures)
    return `has ${after.failures} failures after ${before.failures} by ${statement}`;
  return undefined;
}
