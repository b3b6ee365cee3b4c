import type { Held } from '../../../libs/db/stores.ts';

/** What the keeper's thread is started with. */
export interface KeeperData {
  /** A counter that the main thread moves on while its event loop runs. */
  readonly beats: SharedArrayBuffer;
  /** Of all Postgres connections of this process: by it they are found when a claim of ours holds up a move. */
  readonly applicationName: string;
}

export type ToKeeper =
  | { readonly type: 'fenceLost'; readonly parts: readonly Held[] }
  | { readonly type: 'inUse'; readonly incarnations: readonly string[] }
  | { readonly type: 'leave' }
  | { readonly type: 'finish' };

export type FromKeeper =
  | { readonly type: 'held'; readonly held: readonly Held[] }
  | { readonly type: 'fatal'; readonly message: string }
  | { readonly type: 'left' }
  | { readonly type: 'finished' };
