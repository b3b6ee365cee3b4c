/** The product with one safeguard taken away, for each of them: what the simulation must notice. */
export interface Mutant {
  readonly name: string;
  /** What the safeguard is for. */
  readonly safeguard: string;
  readonly file: string;
  /** Text that stands in the file once, and what stands there instead. */
  readonly find: string;
  readonly replace: string;
  /** A second safeguard against the same, which would hide that the first is missing. */
  readonly also?: { readonly file: string; readonly find: string; readonly replace: string };
}

const CLAIM = 'simulation/store/statements/claim-tasks.ts';
const FINISH = 'simulation/store/statements/finish-tasks.ts';
const RECOVER = 'simulation/store/statements/recover-tasks.ts';
const PARTITIONS = 'simulation/store/statements/partitions.ts';
const SUBMISSIONS = 'simulation/store/statements/submissions.ts';
const ELECT = 'simulation/store/statements/elect-heads.ts';
const REMOVE_FINISHED = 'simulation/store/statements/remove-finished.ts';
const RUNNER = 'apps/worker-node/partition-runner.ts';
const STEERING = 'simulation/store/statements/steering.ts';
const LOOK_BACK = 'apps/worker-node/look-back.ts';

/**
 * Those of SQL statements change their twins in simulation/store, which the conformance suite holds to the real ones.
 */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'claim without a lock on the owner row',
    safeguard: 'FOR NO KEY UPDATE: an epoch is not superseded while a claim under it is in flight',
    file: CLAIM,
    find: "'FOR NO KEY UPDATE',",
    replace: "'NO LOCK',",
  },
  {
    name: 'claim with FOR KEY SHARE',
    safeguard: 'FOR NO KEY UPDATE, since an UPDATE of the epoch would not wait for FOR KEY SHARE',
    file: CLAIM,
    find: "'FOR NO KEY UPDATE',",
    replace: "'FOR KEY SHARE',",
  },
  {
    name: 'claim with FOR SHARE',
    safeguard: 'FOR NO KEY UPDATE, since a claim whose reply was lost may be at work beside the next one',
    file: CLAIM,
    find: "'FOR NO KEY UPDATE',",
    replace: "'FOR SHARE',",
  },
  {
    name: 'claim in one statement',
    safeguard: 'tasks are looked for by a snapshot that is younger than the locks',
    file: CLAIM,
    find: '    x.nextStatement();\n',
    replace: '',
  },
  {
    name: 'claim tells of the newest record',
    safeguard: 'what is looked at from then on is all that stands',
    file: CLAIM,
    find: 'Math.min(...ids)',
    replace: 'Math.max(...ids)',
  },
  {
    name: 'claim takes what runs',
    safeguard: 'what a record names is left alone, whosever it is',
    file: CLAIM,
    find: 'if (!open.some((record) => names(record, t)))',
    replace: 'if (open.length >= 0)',
  },
  {
    name: 'claim does not look at the epoch and incarnation',
    safeguard: 'the fence of a claim',
    file: CLAIM,
    find: '(o) => o.epoch === epoch && o.incarnation === incarnation,',
    replace: '() => epoch !== undefined && incarnation !== undefined,',
  },
  {
    name: 'claim does not look at the incarnation',
    safeguard: 'an epoch alone does not tell who holds a partition',
    file: CLAIM,
    find: '(o) => o.epoch === epoch && o.incarnation === incarnation,',
    replace: "(o) => o.epoch === epoch && incarnation !== '',",
  },
  {
    name: 'claim takes what is not yet due',
    safeguard: 'never early, by the database’s clock',
    file: CLAIM,
    find: "t?.status !== 'PENDING' || t.dueAt > x.nowMs ||",
    replace: "t?.status !== 'PENDING' ||",
  },
  {
    name: 'submission does not ask whether its key was used',
    safeguard: 'what comes again with the same Idempotency-Key is stored once',
    file: SUBMISSIONS,
    find: 'if (stored !== undefined) won.add(key);',
    replace: 'if (stored !== null) won.add(key);',
  },
  {
    name: 'remove without a lock on the owner row',
    safeguard: 'a removal and a claim of the same task come one after the other',
    file: STEERING,
    find: "'FOR NO KEY UPDATE'",
    replace: "'NO LOCK'",
  },
  {
    name: 'remove does not ask whether the task runs',
    safeguard: 'a task that runs goes with its outcome',
    file: STEERING,
    find: 'if (!running) {',
    replace: 'if (!running || target.id > 0) {',
  },
  {
    name: 'cancel does not ask whether the task runs',
    safeguard: 'a task that runs is cancelled with its outcome',
    file: STEERING,
    find: '    if (running) {\n      if (target.cancelRequestedAt === null)',
    replace: '    if (running && target.id < 0) {\n      if (target.cancelRequestedAt === null)',
  },
  {
    name: 'what ended is removed before its time',
    safeguard: 'what has ended is kept for so long, by the database’s clock',
    file: REMOVE_FINISHED,
    find: 't.completedAt <= cutoff;',
    replace: 't.completedAt <= x.nowMs;',
  },
  {
    name: 'what waits is removed like what has ended',
    safeguard: 'what has not ended is kept',
    file: REMOVE_FINISHED,
    find: "t.status !== 'PENDING' && t.completedAt !== null && t.completedAt <= cutoff;",
    replace: '(t.completedAt ?? t.createdAt) <= cutoff;',
  },
  {
    name: 'the removal of what has ended never begins anew',
    safeguard: 'what had not ended for long enough when it was passed by is found later',
    file: REMOVE_FINISHED,
    find: 'const anew = done && (',
    replace: 'const anew = done && most < 0 && (',
  },
  {
    name: 'outcome of an attempt taken away',
    safeguard: 'an outcome is recorded for the attempt that it is of',
    file: FINISH,
    find: '(t) => t.attempt === outcome.attempt - 1,',
    replace: '(t) => t.attempt >= outcome.attempt - 1 && t.attempt !== outcome.attempt,',
  },
  {
    name: 'outcome of an attempt that has ended',
    safeguard: 'an attempt that has ended does not end again',
    file: FINISH,
    find: '(t) => t.attempt === outcome.attempt - 1,',
    replace: '(t) => t.attempt <= outcome.attempt,',
  },
  {
    name: 'outcome leaves its record',
    safeguard: 'a record goes with the last outcome of its attempts',
    file: FINISH,
    find: 'yield* x.delete(x.claimRecords.find(key, x), () => true);',
    replace: 'yield* x.delete(x.claimRecords.find(key, x), () => false);',
  },
  {
    name: 'outcome ignores that its task is to be removed',
    safeguard: 'a removal that was requested is honoured when the attempt ends',
    file: FINISH,
    find: 'if (removalRequested) yield*',
    replace: 'if (removalRequested && id < 0) yield*',
  },
  {
    name: 'progress of whatever attempt',
    safeguard: 'how far an attempt has got is stored while it runs, and as its own',
    file: 'simulation/store/statements/report-progress.ts',
    find: '(t: TaskRow) => named && t.attempt === report.attempt - 1;',
    replace: '(t: TaskRow) => named || t.attempt >= 0;',
  },
  {
    name: 'recovery ignores that a task is to be removed',
    safeguard: 'never a new attempt after a removal was requested',
    file: RECOVER,
    find: 't.attempt === attempt && t.removalRequested;',
    replace: 't.attempt === attempt && t.removalRequested && t.id < 0;',
  },
  {
    name: 'recovery leaves the record',
    safeguard: 'a record goes when its attempts are ended',
    file: RECOVER,
    find: 'yield* x.delete(x.claimRecords.find(recordKey(record), x), () => true);',
    replace: 'yield* x.delete(x.claimRecords.find(recordKey(record), x), () => false);',
  },
  {
    name: 'recovery charges whatever attempt there is',
    safeguard: 'what has ended by itself is not ended again by a recovery',
    file: RECOVER,
    find: '(t) => t.attempt === lost.attempt - 1,',
    replace: '() => true,',
  },
  {
    name: 'recovery before everybody could renew',
    safeguard: 'after an outage of the database nobody is taken for dead at once',
    file: RECOVER,
    find: 'if (session.unbrokenSince + session.leaseMs > x.nowMs) continue;',
    replace: '',
  },
  {
    name: 'recovery by the clock of the node',
    safeguard: 'a lease is judged by the database’s clock',
    file: RECOVER,
    find: '(s) => s.expiresAt <= x.nowMs,',
    // As far from the database's as the clocks of nodes are here, and for each process another.
    replace:
      '(s) => s.expiresAt <= x.nowMs + (parseInt(x.transaction.applicationName.slice(-4), 16) % 10_000) - 5_000,',
  },
  {
    name: 'recovery charges nothing',
    safeguard: 'a task that kills its workers comes to an end',
    file: RECOVER,
    find: 'failures: t.failures + 1,',
    replace: 'failures: t.failures,',
  },
  {
    name: 'a lease from the future stands',
    safeguard: 'a lease written before the database’s clock was set back is cut to its length',
    file: RECOVER,
    find: 'if (locked === undefined) continue;\n    yield*',
    replace: 'if (locked === undefined || locked.leaseMs > 0) continue;\n    yield*',
  },
  {
    name: 'removal in one statement',
    safeguard: 'what runs is looked for by a snapshot that is younger than the lock of the owner row',
    file: STEERING,
    find: '  x.nextStatement();\n  const target = ',
    replace: '  const target = ',
    also: { file: STEERING, find: '  x.nextStatement();\n  const row', replace: '  const row' },
  },
  {
    name: 'recovery without looking at the lease',
    safeguard: 'only what a lease that has ended left behind is recovered',
    file: RECOVER,
    find: '(s) => s.expiresAt <= x.nowMs,',
    replace: '() => true,',
  },
  {
    name: 'acquire under an epoch that another holds',
    safeguard: 'an epoch is had by one incarnation only',
    file: PARTITIONS,
    find: '(o) => o.epoch < grantedEpoch || (o.epoch === grantedEpoch && o.incarnation === incarnation),',
    replace: '(o) => o.epoch <= grantedEpoch,',
  },
  {
    name: 'acquire under a lower epoch',
    safeguard: 'the epoch of a partition only grows, whatever ZooKeeper has lost',
    file: PARTITIONS,
    find: '(o) => o.epoch < grantedEpoch || (o.epoch === grantedEpoch && o.incarnation === incarnation),',
    replace: '() => true,',
  },
  {
    name: 'release of what is another’s by now',
    safeguard: 'a release is fenced like a claim',
    file: PARTITIONS,
    find: `        (o) => o.epoch === epoch && o.incarnation === incarnation,
        'FOR NO KEY UPDATE',
      );
      if (owner !== undefined) locked.push(partition);
    }

    for (const partition of locked) {
      yield* x.update(
        x.owners.find(partition, x),
        (o) => o.incarnation === incarnation,`,
    replace: `        (o) => o.owner !== null && epoch !== undefined,
        'FOR NO KEY UPDATE',
      );
      if (owner !== undefined) locked.push(partition);
    }

    for (const partition of locked) {
      yield* x.update(
        x.owners.find(partition, x),
        () => incarnation !== '',`,
  },
  {
    name: 'publish without the term, nor asking whether it still leads',
    safeguard: 'a controller that was overtaken cannot write',
    file: 'apps/controller/publish.ts',
    find: "await zk.multi([{ op: 'check', path: paths.term, version: leadership.term }, ...ops]);",
    replace: 'await zk.multi([...ops]);',
    also: {
      file: 'apps/controller/publish.ts',
      find: "if (!leadership.valid()) return 'SUPERSEDED';",
      replace: '',
    },
  },
  {
    name: 'grant without waiting for the release',
    safeguard: 'a partition is granted once its holder has released it, is gone, or has had its time',
    file: 'libs/core/transition.ts',
    find: 'if (released(ack, partition, sinceRev) || input.overdue(worker, partition)) draft.free(partition);',
    replace: 'if (sinceRev >= 0) draft.free(partition);',
  },
  {
    name: 'grants of a predecessor stand',
    safeguard: 'the grants of an incarnation that is gone count for nothing',
    file: 'libs/core/transition.ts',
    find: 'if (incarnation !== standing.incarnation) {',
    replace: 'if (incarnation === undefined) {',
  },
  {
    name: 'mint from a stale report',
    safeguard: 'only a report at or above the last epoch minted is answered by another',
    file: 'libs/core/transition.ts',
    find: 'else if (inDatabase !== undefined && inDatabase >= last) mint(partition, draft, inDatabase);',
    replace: 'else if (inDatabase !== undefined && last >= 0) mint(partition, draft, inDatabase);',
  },
  {
    name: 'a refused grant is not reported',
    safeguard: 'after a loss of ZooKeeper’s data epochs jump past the database’s',
    file: 'libs/core/transition.ts',
    find: 'else if (inDatabase !== undefined && inDatabase >= last) mint(partition, draft, inDatabase);',
    replace: '',
  },
  {
    name: 'balance moves one more than it must',
    safeguard: 'the fewest partitions move',
    file: 'libs/core/assignment.ts',
    find: "shed(receiver, quota.get(receiver.id) ?? 0, 'BALANCE');",
    replace: "shed(receiver, Math.max(0, (quota.get(receiver.id) ?? 0) - 1), 'BALANCE');",
  },
  {
    name: 'acknowledge before releasing',
    safeguard: 'a worker says that it has released what it has released',
    file: 'apps/worker-node/keeper/participant.ts',
    find: 'await znodes.acknowledge(acknowledge(state, grants, incarnation, release), incarnation);',
    replace:
      'await znodes.acknowledge({ ...acknowledge(state, grants, incarnation, []), owned: {} }, incarnation);',
  },
  {
    name: 'no lease without ZooKeeper',
    safeguard: 'ZooKeeper away costs no worker the tasks that it runs',
    file: 'apps/worker-node/keeper/participant.ts',
    find: 'suspended: () => this.#wedged,',
    replace: "suspended: () => this.#wedged || this.#cluster.zk.state.kind !== 'CONNECTED',",
  },
  {
    name: 'the keeper fails for a reason of its own',
    safeguard: 'no process ends for a reason that waiting would have mended',
    file: 'apps/worker-node/keeper/participant.ts',
    find: 'await this.#release(release);',
    replace: "await this.#release(release);\n      if (release.length > 0) throw new TypeError('a bug');",
  },
  {
    name: 'what a lost reply claimed is not read back',
    safeguard: 'a claim whose reply was lost is found and run',
    file: 'apps/worker-node/reconciler.ts',
    find: 'executor.accept(orphans);',
    replace: '',
  },
  {
    name: 'what is not known is run at first sight, whatever became of it',
    safeguard: 'an attempt that ends while the database is asked is not run again',
    file: 'apps/worker-node/reconciler.ts',
    find: 'const orphans = unknown.filter((row) => this.#suspects.has(attemptOf(row)));',
    replace: 'const orphans = unknown;',
    also: {
      file: 'simulation/store/statements/reads.ts',
      find: `      if (record?.incarnation !== incarnations[index]) return [];
      const t = x.tasks.find(id, x)?.visibleTo(x);
      return t !== undefined && t.attempt === (attempts[index] ?? 0) - 1 ? [{ id, payload: t.payload }] : [];`,
      replace: `      const t = x.tasks.find(id, x)?.visibleTo(x);
      return t === undefined || record === null ? [] : [{ id, payload: t.payload }];`,
    },
  },
  {
    name: 'the claim in flight is not left alone',
    safeguard: 'what a claim took whose reply is on its way is not taken for lost',
    file: 'apps/worker-node/reconciler.ts',
    find: '!executor.has(row.id, row.attempt) && !claims.includes(row.claimId)',
    replace: '!executor.has(row.id, row.attempt) && claims.length > 0',
  },
  {
    name: 'COMPLETED without having run',
    safeguard: 'an attempt is recorded as COMPLETED because its handler has returned',
    file: 'apps/worker-node/attempt-end.ts',
    find: 'const result = await ready.run(payload, context);',
    replace: 'const result = context.attempt < 2 ? await ready.run(payload, context) : null;',
  },
  {
    name: 'the first failure is the last',
    safeguard: 'a task is tried again as often as it may be',
    file: 'libs/core/task.ts',
    find: 'if (failures + 1 >= maxAttempts)',
    replace: 'if (failures + 1 >= 1)',
  },
  {
    name: 'an outcome is given up when the database is away',
    safeguard: 'outcomes are written until the database has answered',
    file: 'apps/worker-node/outcome-writer.ts',
    find: 'if (results === undefined) return;',
    replace: 'if (results === undefined || batch.length > 0) return;',
  },
  {
    name: 'a record is settled with the first outcome',
    safeguard: 'a record stands until the last of its attempts has ended',
    file: 'apps/worker-node/open-records.ts',
    find: 'return left === 0;',
    replace: 'return left >= 0;',
  },
  {
    name: 'a position never goes back',
    safeguard: 'what becomes due before what was claimed last is found',
    file: 'apps/worker-node/positions.ts',
    find: 'if (after === undefined || after.dueAtMs < dueAtMs) return;',
    replace: 'if (after === undefined || dueAtMs < Infinity) return;',
  },
  {
    name: 'polls look only beyond positions',
    safeguard: 'whatever lies before a position is found, whatever was notified',
    file: LOOK_BACK,
    find: '() => this.#run(from)',
    replace: "() => this.#run('RECENTLY')",
    also: { file: RUNNER, find: 'LATE_COMMIT_MS = 20_000;', replace: 'LATE_COMMIT_MS = 0;' },
  },
  {
    name: 'the controller looks only when told',
    safeguard: 'watch events only wake: everything is looked at every few seconds',
    file: 'apps/controller/controller.ts',
    find: 'const LOOK_EVERY_MS = 3_000;',
    replace: 'const LOOK_EVERY_MS = 600_000;',
  },
  {
    name: 'the keeper looks only when told',
    safeguard: 'watch events only wake: grants are read every few seconds',
    file: 'apps/worker-node/keeper/participant.ts',
    find: 'const RESYNC_MS = 3_000;',
    replace: 'const RESYNC_MS = 600_000;',
  },
  {
    name: 'recovery is looked for once a minute',
    safeguard: 'what a dead worker left is found within seconds',
    file: 'apps/worker-node/worker.ts',
    find: 'const RECOVER_MS = 250;',
    replace: 'const RECOVER_MS = 60_000;',
  },
  {
    name: 'notifications are the only wake-up',
    safeguard: 'every partition is polled, whatever was notified',
    file: LOOK_BACK,
    find: 'return Math.max(0, Math.min(this.#beganAtMs + everyMs, wantedAtMs) - this.#clock.monotonicMs());',
    replace: 'return this.#beganAtMs < 0 ? 0 : 600_000 + everyMs;',
  },
  {
    name: 'claim takes what waits for its turn',
    safeguard: 'of a line only the head is claimed',
    file: CLAIM,
    find: ' || t.blocked) continue;',
    replace: ') continue;',
  },
  {
    name: 'a line is put in order without a lock on the owner row',
    safeguard: 'whose turn it is does not change while a claim is in flight',
    file: ELECT,
    find: "'FOR NO KEY UPDATE'",
    replace: "'NO LOCK'",
  },
  {
    name: 'a head that runs yields',
    safeguard: 'nobody takes the turn of one that runs',
    file: ELECT,
    find: ' || runs(x, head))',
    replace: ' || head.attempt < 0)',
  },
  {
    name: 'who comes first in a line waits for who is its head',
    safeguard: 'the first by scheduled time is the head, whoever was before it came',
    file: ELECT,
    find: 'if (head !== undefined && (inLine(head, next) < 0',
    replace: 'if (head !== undefined && (head.id > 0',
  },
  {
    name: 'outcome leaves its line',
    safeguard: 'after a serial task comes the next',
    file: FINISH,
    find: 'yield* electHeads(x, lines);',
    replace: '',
  },
  {
    name: 'recovery leaves its line',
    safeguard: 'whose turn it is after a loss is found out anew',
    file: RECOVER,
    find: 'yield* electHeads(x, lines);',
    replace: '',
  },
  {
    name: 'remove leaves its line',
    safeguard: 'when the head is removed comes the next',
    file: 'simulation/store/statements/steering.ts',
    find: `      yield* electHeads(x, [target]);
      return [{ result: 'removed' }];`,
    replace: `      return [{ result: 'removed' }];`,
  },
  {
    name: 'submission leaves its line',
    safeguard: 'what comes to an empty line is its head',
    file: SUBMISSIONS,
    find: 'yield* electHeads(x, inserted);',
    replace: '',
  },
  {
    name: 'a worker does not say that an outcome is of a serial task',
    safeguard:
      'the rows of owners are locked, and the line is put in order, for whom the worker says is serial',
    file: 'libs/db/postgres-execution-store.ts',
    find: 'outcomes.filter(({ serial }) => serial)',
    replace: 'outcomes.filter(({ serial }) => serial && outcomes.length > 1)',
  },
  {
    name: 'retry of what has completed',
    safeguard: 'only what is FAILED or CANCELLED is tried again',
    file: STEERING,
    find: "if (target.status === 'COMPLETED') return [{ result: 'completed' }];",
    replace: '',
  },
  {
    name: 'retry forgives nothing',
    safeguard: 'what is tried again has its whole budget',
    file: STEERING,
    find: "...{ status: 'PENDING', failures: 0, dueAt,",
    replace: "...{ status: 'PENDING', dueAt,",
  },
  {
    name: 'patch does not look at the version',
    safeguard: 'what was read and has changed since is not overwritten',
    file: STEERING,
    find: "if (versions?.includes(`${target.revision}.${target.attempt}`) === false) return [{ result: 'changed' }];",
    replace: '',
  },
  {
    name: 'outcome ignores that its task is to be cancelled',
    safeguard: 'what was cancelled while it ran is not tried again',
    file: FINISH,
    find: "const cancelled = t.cancelRequestedAt !== null && kind !== 'COMPLETED';",
    replace: "const cancelled = t.cancelRequestedAt !== null && kind === 'FAILED';",
  },
  {
    name: 'recovery ignores that a task is to be cancelled',
    safeguard: 'what was cancelled while it ran is not tried again when its worker is lost',
    file: RECOVER,
    find: "status: t.cancelRequestedAt === null ? after.status : 'CANCELLED',",
    replace: 'status: after.status,',
  },
  {
    name: 'claim takes the oldest first, whatever their priority',
    safeguard: 'of what is due in a partition the highest priority goes first',
    file: CLAIM,
    find: 'b.priority - a.priority || a.dueAt - b.dueAt',
    replace: 'a.dueAt - b.dueAt',
  },
  {
    name: 'what is to be made again later is charged',
    safeguard: 'RetryLater costs no failure',
    file: 'apps/worker-node/attempt-end.ts',
    find: "if (isRetryLater(thrown)) return { kind: 'HANDED_BACK', delayMs: thrown.afterMs };",
    replace: '',
  },
  {
    name: 'a handler is told of whichever cancellation of its task',
    safeguard: 'a cancellation is of one attempt, and the task may run again before it is heard of',
    file: 'apps/worker-node/executor.ts',
    find: 'if (found?.task.attempt !== attempt) {',
    replace: 'if (found === undefined) {',
  },
  {
    name: 'what returns too late has completed',
    safeguard: 'an attempt that took longer than its task allows has failed',
    file: 'apps/worker-node/attempt-end.ts',
    find: 'limit?.check();',
    replace: '',
  },
  {
    name: 'a handler that is cancelled is waited for',
    safeguard: 'a handler that is deaf to its cancellation is given up',
    file: 'apps/worker-node/executor.ts',
    find: "else if (reason !== 'stopping') this.#runner.giveUpLater(found);",
    replace: '',
  },
  {
    name: 'PermanentFailure is tried again',
    safeguard: 'what will never succeed has failed at once',
    file: 'apps/worker-node/attempt-end.ts',
    find: "if (isPermanentFailure(thrown)) return { kind: 'FAILED', error };",
    replace: '',
  },
];
