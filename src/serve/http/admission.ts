// The bounded queue before the engine: a few requests run, some wait, the rest are told to come back; callers take turns.
import { ApiError } from './errors.ts';

interface Waiting {
  start: () => void;
}

export class Admission {
  private readonly running: number;
  private readonly queue: number;
  /** Waiting requests by caller; the caller at the front of the map has its turn next. */
  private readonly callers = new Map<string, Waiting[]>();
  private active = 0;
  private waiting = 0;
  private secondsPerRequest = 1;

  /** @param limits.running most requests in the engine at once; @param limits.queue most that wait beside them */
  constructor(limits: { running: number; queue: number }) {
    this.running = limits.running;
    this.queue = limits.queue;
  }

  get load(): { running: number; waiting: number } {
    return { running: this.active, waiting: this.waiting };
  }

  /**
   * Resolves when it is the caller's turn.
   * @param places how many answers of the engine it stands for
   * @returns what to call when the work is done
   * @throws ApiError 429 when the queue is full; the signal's reason when it is aborted while waiting
   */
  async enter(caller: string, places: number, signal: AbortSignal): Promise<() => void> {
    await this.turn(caller, places, signal);
    const started = performance.now();
    return () => {
      const seconds = (performance.now() - started) / 1000;
      this.secondsPerRequest += 0.1 * (seconds - this.secondsPerRequest);
      this.active -= places;
      this.next();
    };
  }

  private turn(caller: string, places: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.active < this.running && this.waiting === 0) {
      this.active += places;
      return Promise.resolve();
    }
    if (this.waiting >= this.queue) return Promise.reject(this.full());
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.remove(caller, entry);
        reject(signal.reason);
      };
      const entry = {
        start: () => {
          signal.removeEventListener('abort', leave);
          this.active += places;
          resolve();
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.callers.set(caller, [...(this.callers.get(caller) ?? []), entry]);
      this.waiting++;
    });
  }

  private next(): void {
    while (this.active < this.running) {
      const [turn] = this.callers;
      if (!turn) return;
      const [caller, [entry]] = turn;
      this.remove(caller, entry);
      const rest = this.callers.get(caller);
      if (rest) {
        // to the back of the turns
        this.callers.delete(caller);
        this.callers.set(caller, rest);
      }
      entry.start();
    }
  }

  private remove(caller: string, entry: Waiting): void {
    const rest = (this.callers.get(caller) ?? []).filter((each) => each !== entry);
    this.waiting--;
    if (rest.length > 0) this.callers.set(caller, rest);
    else this.callers.delete(caller);
  }

  private full(): ApiError {
    const seconds = Math.ceil(((this.waiting + 1) / this.running) * this.secondsPerRequest);
    const wait = Math.min(60, Math.max(1, seconds));
    return new ApiError(429, `the server is busy: ${this.waiting} requests are waiting; try again in ${wait} s`, {
      code: 'queue_full',
      headers: { 'retry-after': String(wait) },
    });
  }
}
