import type { Held } from '../../../libs/db/stores.ts';

/** What the keeper's thread is started with. `beats` is a counter shared with the main thread. */
export interface KeeperData {
  readonly beats: SharedArrayBuffer;
}

export type ToKeeper =
  | { readonly type: 'fenceLost'; readonly parts: readonly Held[] }
  | { readonly type: 'inUse'; readonly incarnations: readonly string[] }
  | { readonly type: 'leave' }
  | { readonly type: 'finish' };

export type FromKeeper =
  | { readonly type: 'held'; readonly held: readonly Held[] }
  | { readonly type: 'leaseRenewed'; readonly unbroken: boolean }
  | { readonly type: 'fatal'; readonly message: string }
  | { readonly type: 'left' }
  | { readonly type: 'finished' };
