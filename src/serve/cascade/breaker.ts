// Keeps requests from waiting, one after the other, for a teacher that does not answer (circuit breaker; Nygard, "Release It!", 2007).

/** Failures in a row after which the teacher is taken to be away. */
export const MOST_FAILURES = 3;
/** Milliseconds until it is tried again; doubled with every try that fails, up to the last. */
export const FIRST_PAUSE_MS = 5_000;
export const LONGEST_PAUSE_MS = 300_000;

export class Breaker {
  readonly #now: () => number;
  #failures = 0;
  #pause = FIRST_PAUSE_MS;
  #closedAt = Number.NEGATIVE_INFINITY;
  #trying = false;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Whether the teacher is taken to be away, and nobody tries it just now. */
  get away(): boolean {
    return this.#failures >= MOST_FAILURES;
  }

  /** Whether it may be asked: always while it answers, by one request at a time after each pause. */
  admits(): boolean {
    if (!this.away) return true;
    if (this.#trying || this.#now() < this.#closedAt + this.#pause) return false;
    this.#trying = true;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pause = FIRST_PAUSE_MS;
    this.#trying = false;
  }

  failed(): void {
    if (this.#trying) this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    this.#trying = false;
    this.#failures++;
    if (this.away) this.#closedAt = this.#now();
  }

  /** Neither: its caller went away. */
  leftOpen(): void {
    this.#trying = false;
  }
}
