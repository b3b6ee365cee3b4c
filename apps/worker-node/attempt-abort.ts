/**
 * Tells a handler to end, as an AbortController does. It makes one when it is asked for its signal or used: most handlers never
 * look at theirs, and the controllers of so many would be a fifth of a busy worker's garbage.
 */
export class AttemptAbort implements Pick<AbortController, 'abort' | 'signal'> {
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#controller?.signal.aborted ?? false;
  }

  abort(reason: Error): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }
}
