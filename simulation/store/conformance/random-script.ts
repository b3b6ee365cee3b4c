import { ANY_NAME } from '../../../libs/db/stores.ts';
import type { AttemptEnd, Beyond, ClaimRecord, Held, TaskChange } from '../../../libs/db/stores.ts';
import {
  Choice,
  drawWorld,
  FIRST_RECORD_ID,
  INCARNATIONS,
  LEASE_MS,
  PARTITIONS,
  TASKS,
} from './random-world.ts';
import type { Call, Ending, Line, Setting, Step, World } from './script.ts';
import { removeIn } from './script-steps.ts';
import { SimulatedSide } from './simulated-side.ts';

const CONNECTIONS = ['worker a', 'worker b', 'api'];
const LONG_MS = 3_600_000;

/**
 * A script made up as it goes, on the simulated side, by what it finds there; and what it led to. It ends before a
 * step by which two would wait for one row, or for each other.
 */
export interface RandomRun {
  readonly world: World;
  readonly steps: readonly Step[];
  readonly lines: readonly Line[];
  readonly ending: Ending;
}

export async function randomRun(seed: number, length: number): Promise<RandomRun> {
  const moves = new Moves(seed);
  const side = new SimulatedSide();
  const world = drawWorld(moves);
  await side.prepare(world);
  const steps: Step[] = [];
  const lines: Line[] = [];
  let waiting: readonly string[] = [];
  while (steps.length < length) {
    const by = moves.of(CONNECTIONS.filter((name) => !waiting.includes(name)));
    const step = { by, ...moves.act(side, by) };
    const line = await side.perform(step);
    if (side.racing) return randomRun(seed, steps.length);
    waiting = line.waiting;
    steps.push(step);
    lines.push(line);
  }
  return { world, steps, lines, ending: await side.end() };
}

type Move = Omit<Step, 'by'>;

/** Draws moves. */
class Moves extends Choice {
  act(side: SimulatedSide, by: string): Move {
    if (side.isOpen(by) && this.chance(0.4)) {
      const act = this.of(['commit', 'commit', 'rollback'] as const);
      return { what: act, act };
    }
    if (!side.isOpen(by) && this.chance(0.5)) return { what: 'begin', act: 'begin' };
    const moves = [
      ...[
        () => this.#claim(side),
        () => this.#claim(side),
        () => this.#finish(side),
        () => this.#finish(side),
      ],
      ...[() => this.#recover(side), () => this.#recover(side), () => this.#renew(), () => this.#renew()],
      () => this.#clearSessions(),
      ...[() => this.#acquire(side), () => this.#acquire(side), () => this.#release(side)],
      ...[() => this.#remove(), () => this.#remove(), () => this.#endSession(), () => this.#read(side)],
      ...[
        () => this.#cancel(),
        () => this.#cancel(),
        () => this.#retry(),
        () => this.#runNow(),
        () => this.#patch(),
      ],
      ...[() => this.#set(), () => this.#insert(), () => this.#report(side), () => this.#removeFinished()],
    ];
    return this.of(moves)();
  }

  /** Mostly what is so. */
  #held(side: SimulatedSide): Held[] {
    return this.some(PARTITIONS).map((partition) => {
      const { epoch = 1, incarnation } = side.database.owners[partition] ?? {};
      return this.chance(0.85) && incarnation != null
        ? { partition, epoch, incarnation }
        : { partition, epoch: this.of([1, 2, 3]), incarnation: this.of(INCARNATIONS) };
    });
  }

  #claim(side: SimulatedSide): Move {
    const held = this.#held(side);
    const request = {
      claimId: this.uuid(),
      workerId: this.of(['a', 'b']),
      limit: this.of([1, 2, 10]),
      names: this.of([
        ANY_NAME,
        ANY_NAME,
        { names: ['new'], listed: true },
        { names: ['new'], listed: false },
      ]),
    };
    const beyond = this.#position();
    return move('claim', { ...request, held, beyond }, ({ execution }, at) =>
      execution.claim({ ...request, held: held.map((part) => ({ ...part, ...beyond(at) })) }),
    );
  }

  /** Mostly the beginning. */
  #position(): (at: (minutes: number) => number) => Omit<Beyond, 'partition'> {
    if (this.chance(0.7)) return () => ({});
    const [minutes, id] = [this.of([-16, -13, -12, -11]), this.of([0, ...TASKS])];
    const oldestRecord = this.of([undefined, FIRST_RECORD_ID + 1]);
    return (at) => ({ after: { dueAtMs: at(minutes), id }, oldestRecord });
  }

  #finish(side: SimulatedSide): Move {
    const ends: AttemptEnd[] = [
      { kind: 'COMPLETED' },
      { kind: 'RETRY', delayMs: this.of([0, 1_200_000]), error: 'again' },
      { kind: 'FAILED', error: 'enough' },
      { kind: 'HANDED_BACK' },
    ];
    const running = TASKS.filter((id) => side.database.tasks.get(id)?.status === 'RUNNING');
    const ids = this.some(this.chance(0.8) && running.length > 0 ? running : [...TASKS, 99]);
    const outcomes = ids.map((id) => {
      const { attempt = 1, incarnation, partitionId = 0, serial = false } = side.database.tasks.get(id) ?? {};
      const [end, claimedAtMs] = [this.of(ends), this.of([1_000, 2_000])];
      const where = { partition: partitionId, serial };
      return this.chance(0.85)
        ? {
            id,
            attempt,
            epoch: 1,
            incarnation: incarnation ?? 'a1',
            workerId: 'a',
            claimedAtMs,
            ...where,
            end,
          }
        : {
            id,
            epoch: 1,
            ...where,
            attempt: this.of([1, 2, 3]),
            incarnation: this.of(INCARNATIONS),
            workerId: 'a',
            claimedAtMs,
            end,
          };
    });
    const settled = this.#settled(side, ids);
    return move('finish', { outcomes, settled }, ({ execution }) => execution.finish(outcomes, settled));
  }

  /** Mostly what has ended when `ids` have. */
  #settled(side: SimulatedSide, ids: readonly number[]): ClaimRecord[] {
    const { claimRecords, tasks } = side.database;
    const records = [...claimRecords.values()].filter(({ id, taskIds }) =>
      this.chance(0.85)
        ? taskIds.every((task) => ids.includes(task) || tasks.get(task)?.record !== id)
        : this.chance(0.3),
    );
    return records.map(({ partitionId: partition, id: record }) => ({ partition, record }));
  }

  #recover(side: SimulatedSide): Move {
    const oldestRecord = this.chance(0.7) ? undefined : FIRST_RECORD_ID + 1;
    const held = this.#held(side).map((part) => ({ ...part, oldestRecord }));
    const own = this.chance(0.3) ? [this.of(INCARNATIONS)] : [];
    const request = { held, own, jitter: this.of([0, 0.3, 0.9]) };
    return move('recover', request, async ({ execution }) => {
      const recovered = await execution.recover(request);
      return recovered.sort((a, b) => a.id - b.id);
    });
  }

  #renew(): Move {
    const incarnations = this.some(INCARNATIONS);
    return move('renew', incarnations, ({ ownership }) => ownership.renew('a', incarnations, LEASE_MS));
  }

  #clearSessions(): Move {
    return move('clear sessions', undefined, ({ execution }) => execution.clearSessions());
  }

  #acquire(side: SimulatedSide): Move {
    const grants = this.some(PARTITIONS).map((partition) => ({
      partition,
      epoch: (side.database.owners[partition]?.epoch ?? 1) + this.of([-1, 0, 1, 1, 2]),
    }));
    const incarnation = this.of(INCARNATIONS);
    const request = { workerId: incarnation.slice(0, 1), incarnation, grants, lockTimeoutMs: LONG_MS };
    return move('acquire', request, ({ ownership }) => ownership.acquire(request));
  }

  #release(side: SimulatedSide): Move {
    const parts = this.#held(side);
    const incarnation = parts[0]?.incarnation ?? 'a1';
    return move('release', parts, ({ ownership }) => ownership.release(incarnation, parts));
  }

  #remove(): Move {
    const id = this.of(TASKS);
    return move('remove', id, ({ tasks }) => tasks.remove(id));
  }

  #cancel(): Move {
    const id = this.of(TASKS);
    return move('cancel', id, ({ tasks }) => tasks.cancel(id));
  }

  #retry(): Move {
    const id = this.of(TASKS);
    return move('retry', id, ({ tasks }) => tasks.retry(id));
  }

  #runNow(): Move {
    const id = this.of(TASKS);
    return move('run', id, ({ tasks }) => tasks.run(id));
  }

  #patch(): Move {
    const id = this.of(TASKS);
    const change: TaskChange = this.of([
      { delayMs: 60_000 },
      { payload: { patched: true } },
      { maxAttempts: 7, delayMs: 0, priority: 3 },
    ]);
    const versions = this.of([undefined, ['0.0'], ['0.1', '1.0', '1.1']]);
    return move('patch', { id, change, versions }, ({ tasks }) => tasks.patch(id, change, versions));
  }

  #removeFinished(): Move {
    const request = {
      ...{ keepMs: this.of([30_000, 90_000, 600_000]), passMs: this.of([1, LONG_MS]) },
      ...{ span: this.of([1, 3, 100]), most: this.of([1, 2, 100]) },
    };
    return move('remove finished', request, (stores) => removeIn(stores, request));
  }

  #endSession(): Move {
    const incarnation = this.of(INCARNATIONS);
    return move('end session', incarnation, ({ ownership }) => ownership.endSession(incarnation));
  }

  #insert(): Move {
    const task = {
      name: 'new',
      ...this.of([{ key: null }, { key: 'k' }, { key: 'k', serial: true }, { key: 'l', serial: true }]),
      payload: { a: [1] },
      policy: this.of([null, { maxAttempts: 2 }]),
    };
    const minutes = this.of([null, null, -25, 20]);
    return move('insert', { ...task, minutes }, ({ tasks }, at) => {
      const scheduledAtMs = minutes === null ? null : at(minutes);
      return tasks.insert([
        { ...task, scheduledAtMs },
        { ...task, scheduledAtMs: null },
      ]);
    });
  }

  #report(side: SimulatedSide): Move {
    const reports = this.#attempts(side).map((attempt) => ({
      ...attempt,
      ...{ done: this.of([0, 0.5, 1]), note: this.of([null, 'so far']) },
    }));
    return move('report', reports, async ({ execution }) => (await execution.reportProgress(reports)).sort());
  }

  /** What a worker may take for running. */
  #attempts(side: SimulatedSide) {
    return TASKS.map((id) => ({
      id,
      attempt: side.database.tasks.get(id)?.attempt ?? 1,
      incarnation: this.of(INCARNATIONS),
      partition: side.database.tasks.get(id)?.partitionId ?? 0,
      record: side.database.tasks.get(id)?.record ?? FIRST_RECORD_ID,
    }));
  }

  #read(side: SimulatedSide): Move {
    const attempts = this.#attempts(side);
    const beyond = this.#position();
    const within = this.some(PARTITIONS).map((partition) => ({
      partition,
      oldestRecord: this.of([undefined, FIRST_RECORD_ID + 1]),
    }));
    return this.of([
      move('peek', { beyond }, ({ execution }, at) =>
        execution.peek(
          PARTITIONS.map((partition) => ({ partition, ...beyond(at) })),
          900_000,
          INCARNATIONS.slice(0, 2),
        ),
      ),
      move('running', within, ({ execution }) => execution.running(INCARNATIONS.slice(0, 2), within)),
      move('payloads', attempts, ({ execution }) => execution.payloads(attempts)),
      move('cluster', '', ({ tasks }) => tasks.cluster()),
      move('get', 1, ({ tasks }) => tasks.get(1)),
    ]);
  }

  /** What no statement of ours does, such as a lease that changes and is over nonetheless. */
  #set(): Move {
    const setting = this.of<Setting>([
      {
        table: 'worker_session',
        key: this.of(INCARNATIONS),
        columns: { expiresAt: this.of([-61, -3, 10, 30]) },
      },
      { table: 'worker_session', key: this.of(INCARNATIONS), columns: { unbrokenSince: this.of([-3, -90]) } },
      { table: 'task', key: this.of(TASKS), columns: { dueAt: this.of([-30, -31, 30]) } },
      { table: 'task', key: this.of(TASKS), columns: { failures: this.of([0, 1, 2]) } },
    ]);
    return { what: `set ${JSON.stringify(setting)}`, act: { set: setting } };
  }
}

const move = (name: string, request: unknown, act: Call): Move => ({
  what: `${name} ${JSON.stringify(request)}`,
  act,
});
