// Whether the caller is still there: as much of an AbortSignal as an exchange needs, for far less than one costs.

export class Hangup {
  #reason: Error | undefined;
  #then = new Set<() => void>();

  /** The caller is gone. */
  get gone(): boolean {
    return this.#reason !== undefined;
  }

  /** @throws the reason, once the caller is gone */
  throwIfGone(): void {
    if (this.#reason) throw this.#reason;
  }

  /** Calls back when the caller goes; the returned function takes that back. */
  on(then: () => void): () => void {
    this.#then.add(then);
    return () => void this.#then.delete(then);
  }

  /** The caller went. */
  happened(): void {
    if (this.#reason) return;
    this.#reason = new Error('the caller hung up');
    for (const then of this.#then) then();
    this.#then.clear();
  }
}
