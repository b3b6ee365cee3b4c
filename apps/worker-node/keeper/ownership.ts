import type { Ack, Grants } from '../../../libs/cluster/records.ts';
import type { Held, PartitionEpoch } from '../../../libs/db/stores.ts';

export interface OwnershipState {
  /** What Postgres has given us, by partition. */
  readonly held: ReadonlyMap<number, Held>;
  /** What it may have given us: acquired by a statement that has not been answered. */
  readonly unsure: ReadonlyMap<number, Held>;
  /** Grants Postgres refused: the epoch granted and the one the database holds. */
  readonly fenced: ReadonlyMap<number, { readonly granted: number; readonly dbEpoch: number }>;
}

export interface OwnershipSteps {
  readonly release: readonly Held[];
  readonly acquire: readonly PartitionEpoch[];
}

function entries(parts: Readonly<Record<string, number>>): [number, number][] {
  return Object.entries(parts).map(([partition, epoch]) => [Number(partition), epoch]);
}

/**
 * What to do in Postgres so that what we hold becomes what `grants` say. Pure: the same grants give the same
 * steps until they are done, so a step that failed is simply planned again.
 *
 * Grants to another incarnation than `incarnation` say nothing about us: what we still hold from before we
 * keep using until Postgres refuses it.
 */
export function planOwnership(
  state: OwnershipState,
  grants: Grants | null,
  incarnation: string,
): OwnershipSteps {
  if (grants?.incarnation !== incarnation) return { release: [], acquire: [] };
  const granted = new Map(entries(grants.parts));
  return {
    release: [...state.held.values(), ...state.unsure.values()].filter(
      ({ partition }) => !granted.has(partition),
    ),
    acquire: [...granted]
      .filter(([partition, epoch]) => {
        const held = state.held.get(partition);
        if (held?.epoch === epoch && held.incarnation === incarnation) return false;
        return state.fenced.get(partition)?.granted !== epoch;
      })
      .map(([partition, epoch]) => ({ partition, epoch })),
  };
}

/** What we tell the controller: everything in it is true in Postgres already. */
export function acknowledge(
  state: OwnershipState,
  grants: Grants | null,
  incarnation: string,
  releasing: readonly Held[],
): Ack {
  const mine = grants?.incarnation === incarnation;
  const owned = [...state.held.values()].filter((held) => held.incarnation === incarnation);
  return {
    rev: mine ? grants.rev : 0,
    owned: Object.fromEntries(owned.map(({ partition, epoch }) => [partition, epoch])),
    releasing: [...new Set(releasing.map(({ partition }) => partition))],
    fenced: Object.fromEntries([...state.fenced].map(([partition, { dbEpoch }]) => [partition, dbEpoch])),
  };
}
