import type { StoredTask, TaskRecord } from '../db/stores.ts';

/** A task as it is when it has just been stored, but for what is its own. */
export const AS_NEW: Omit<TaskRecord, keyof StoredTask | 'name' | 'payload'> = {
  ...{ key: null, policy: null, priority: 0, tags: null, serial: false },
  ...{ status: 'PENDING', attempt: 0, failures: 0, revision: 0 },
  ...{ startedAtMs: null, completedAtMs: null, workerId: null, leaseExpiresAtMs: null },
  ...{ lastError: null, progress: null, result: null },
};
