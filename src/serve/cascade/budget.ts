// What the teacher may cost within any hour.

const HOUR_MS = 3_600_000;

export class HourlyBudget {
  readonly #most: number;
  readonly #now: () => number;
  #spent: { at: number; usd: number }[] = [];

  /** @param most US dollars within any hour */
  constructor(most = Number.POSITIVE_INFINITY, now: () => number = Date.now) {
    this.#most = most;
    this.#now = now;
  }

  /** US dollars of the last hour. */
  spent(): number {
    const from = this.#now() - HOUR_MS;
    this.#spent = this.#spent.filter(({ at }) => at > from);
    return this.#spent.reduce((sum, { usd }) => sum + usd, 0);
  }

  /** Answers in flight are paid when they come, so the last ones may go beyond. */
  exhausted(): boolean {
    return this.spent() >= this.#most;
  }

  spend(usd: number): void {
    this.#spent.push({ at: this.#now(), usd });
  }
}
