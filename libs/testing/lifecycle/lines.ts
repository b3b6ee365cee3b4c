/** Serial tasks of one key: which of those that have not ended has its turn. */
import { hasEnded, isRunning } from './life.ts';
import type { Life, Next } from './life.ts';

/** What becomes of a task's turn without its doing; counted with the changes of status. */
export const TURN_CHANGES = ['BLOCKED to its turn', 'its turn to BLOCKED'] as const;

/**
 * One of each line has its turn: the one that runs, or the first by scheduled time and id. Whose turn has come is due now at the
 * earliest; the others are blocked.
 * @param changed told of each change
 */
export function inOrder(
  lives: readonly Next[],
  nowMs: number,
  changed: (change: (typeof TURN_CHANGES)[number]) => void,
): Next[] {
  const heads = new Map<string, Life>();
  for (const life of lives.filter(isInLine).sort(byTurn)) if (!heads.has(life.key)) heads.set(life.key, life);
  return lives.map((life) => {
    if (!isInLine(life)) return life;
    const blocked = heads.get(life.key) !== life;
    if (blocked === life.blocked) return life;
    changed(TURN_CHANGES[blocked ? 1 : 0]);
    return { ...life, blocked, dueAtMs: blocked ? life.dueAtMs : Math.max(life.dueAtMs, Math.floor(nowMs)) };
  });
}

const isInLine = (life: Next): life is Life & { key: string } =>
  life !== 'GONE' && life.serial && life.key !== null && !hasEnded(life);

const byTurn = (a: Life, b: Life): number =>
  Number(isRunning(b)) - Number(isRunning(a)) || a.scheduledAtMs - b.scheduledAtMs || a.id - b.id;
