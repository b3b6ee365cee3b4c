/** Randomness as a port, so that a seed replays a run. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** A unique id in the form of a UUID. */
  uuid(): string;
}
