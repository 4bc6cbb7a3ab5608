// The bounded queue before the engine: a few requests run, some wait, the rest are told to come back; callers take turns.
import { ApiError } from './errors.ts';

interface Waiting {
  start: () => void;
  refuse: (error: unknown) => void;
  /** A further answer of a request that was let in: it waits for its turn, but is never refused. */
  further: boolean;
}

export class Admission {
  private readonly running: number;
  private readonly queue: number;
  /** What waits, by caller; the caller at the front of the map has its turn next. */
  private readonly callers = new Map<string, Waiting[]>();
  private active = 0;
  private secondsPerAnswer = 1;

  /** @param limits.running most answers in the engine at once; @param limits.queue most requests that wait beside them */
  constructor(limits: { running: number; queue: number }) {
    this.running = limits.running;
    this.queue = limits.queue;
  }

  get load(): { running: number; waiting: number } {
    const waiting = [...this.callers.values()].reduce((sum, entries) => sum + requestsIn(entries), 0);
    return { running: this.active, waiting };
  }

  /**
   * Resolves when it is the caller's turn, with a place for one answer.
   * @param further an answer of a request that already had a turn
   * @returns what to call when the answer is there
   * @throws ApiError 429 when the queue is full; the signal's reason when it is aborted while waiting
   */
  async enter(caller: string, signal: AbortSignal, further = false): Promise<() => void> {
    await this.turn(caller, signal, further);
    const started = performance.now();
    return () => {
      const seconds = (performance.now() - started) / 1000;
      this.secondsPerAnswer += 0.1 * (seconds - this.secondsPerAnswer);
      this.active--;
      this.next();
    };
  }

  private turn(caller: string, signal: AbortSignal, further: boolean): Promise<void> {
    signal.throwIfAborted();
    if (this.active < this.running && this.callers.size === 0) {
      this.active++;
      return Promise.resolve();
    }
    if (!further && this.load.waiting >= this.queue && !this.makeRoom(caller)) return Promise.reject(this.full());
    return new Promise((resolve, reject) => {
      const leave = () => entry.refuse(signal.reason);
      const entry: Waiting = {
        further,
        start: () => {
          signal.removeEventListener('abort', leave);
          this.active++;
          resolve();
        },
        refuse: (error) => {
          signal.removeEventListener('abort', leave);
          this.remove(caller, entry);
          reject(error);
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.callers.set(caller, [...(this.callers.get(caller) ?? []), entry]);
    });
  }

  /** A full queue is full of somebody: who has more waiting than this caller would have gives up its newest request. */
  private makeRoom(caller: string): boolean {
    const mine = requestsIn(this.callers.get(caller) ?? []);
    const entries = [...this.callers.values()].reduce((a, b) => (requestsIn(b) > requestsIn(a) ? b : a), []);
    if (requestsIn(entries) <= mine + 1) return false;
    entries.findLast((each) => !each.further)!.refuse(this.full());
    return true;
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
    if (rest.length > 0) this.callers.set(caller, rest);
    else this.callers.delete(caller);
  }

  private full(): ApiError {
    const { waiting } = this.load;
    const seconds = Math.ceil(((waiting + 1) / this.running) * this.secondsPerAnswer);
    const wait = Math.min(60, Math.max(1, seconds));
    return new ApiError(429, `the server is busy: ${waiting} requests are waiting; try again in ${wait} s`, {
      code: 'queue_full',
      headers: { 'retry-after': String(wait) },
    });
  }
}

const requestsIn = (entries: readonly Waiting[]) => entries.filter(({ further }) => !further).length;
