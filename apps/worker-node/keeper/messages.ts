import type { Held } from '../../../libs/db/stores.ts';

/** What the keeper's thread is started with. */
export interface KeeperData {
  /** Of all Postgres connections of this process: by it they are found when a claim of ours holds up a move. */
  readonly applicationName: string;
}

export type ToKeeper =
  | { readonly type: 'beat'; readonly inUse: readonly string[] }
  | { readonly type: 'fenceLost'; readonly parts: readonly Held[] }
  | { readonly type: 'leave' }
  | { readonly type: 'finish' };

export type FromKeeper =
  | { readonly type: 'held'; readonly held: readonly Held[] }
  | { readonly type: 'fatal'; readonly message: string }
  | { readonly type: 'left' }
  | { readonly type: 'finished' };
