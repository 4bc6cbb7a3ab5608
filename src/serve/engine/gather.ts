// When prompts behind a common prefix wait for each other.
//
// llama.cpp's attention on a CPU goes over 64 tokens of a batch at once; in a smaller batch it goes over each on its own. Measured
// on two cores behind 560 common tokens: 2.5 ms for each token of a batch of 63, 1.8 of one of 64, 1.3 of one of 256. And a step
// costs as good as nothing beside its tokens, so a place that stands empty for a few steps loses less than a small batch does.

/** Tokens of a batch from which on they are attended to together. */
export const TILE = 64;
/** Steps of other answers that a prompt waits at most. */
export const MOST_STEPS = 3;
/** Answers that end together are followed by requests that come together, within so many milliseconds. */
export const MOST_MS = 5;

export class Gathering {
  private waited = 0;
  private togetherUntil = Number.NEGATIVE_INFINITY;

  /** @param ended answers that the last step brought to an end */
  stepped(ended: number, now: number): void {
    if (ended > 1) this.togetherUntil = now + MOST_MS;
  }

  /**
   * Asked once before each step.
   * @param waiting tokens of prompts that could begin, 0 without any
   * @param running tokens that the step has anyway
   */
  holds(waiting: number, running: number, now: number): boolean {
    const small = waiting > 0 && waiting + running < TILE;
    if (!small) this.waited = 0;
    else if (running === 0) return now < this.togetherUntil;
    else if (this.waited++ < MOST_STEPS) return true;
    return false;
  }
}
