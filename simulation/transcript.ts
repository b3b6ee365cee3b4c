/** What happened, for people to read; kept only where somebody will. */
export class Transcript {
  readonly #lines: string[] = [];
  readonly #nowMs: () => number;
  readonly #kept: boolean;

  constructor(options: { readonly nowMs: () => number; readonly kept: boolean }) {
    this.#nowMs = options.nowMs;
    this.#kept = options.kept;
  }

  add(who: string, what: () => string): void {
    if (this.#kept) this.#lines.push(`${this.#nowMs().toFixed(3).padStart(12)}  ${who.padEnd(13)} ${what()}`);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }
}
