import { StoreUnavailableError } from '../../libs/db/stores.ts';

/** Something done beside a loop: one at a time, of whose end the loop is told. That the database is away is no fault. */
export class Beside {
  readonly #onEnd: () => void;
  #underWay: Promise<void> | undefined;
  #fault: { readonly error: unknown } | undefined;

  /** @param onEnd called when what was begun has ended, however */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get underWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** Begins it; nothing else may be under way. */
  begin(action: () => Promise<void>): void {
    this.#underWay = action()
      .catch((error: unknown) => {
        if (!(error instanceof StoreUnavailableError)) this.#fault = { error };
      })
      .finally(() => {
        this.#underWay = undefined;
        this.#onEnd();
      });
  }

  /** @throws what one has failed with that is not the database being away */
  check(): void {
    if (this.#fault !== undefined) throw this.#fault.error;
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    await this.#underWay;
  }
}
