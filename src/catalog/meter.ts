// Progress of a download: bytes, rate and time left, from a moving average.
import type { Progress } from '../base/progress.ts';

const INTERVAL_SECONDS = 0.25;

export class Meter {
  private readonly label: string;
  private readonly progress: Progress;
  private readonly total: number | undefined;
  private lastAt: number;
  private lastTime = Date.now();
  private rate: number | undefined;

  /** @param from bytes that were there before; @param total in all, when known */
  constructor(label: string, progress: Progress, from: number, total: number | undefined) {
    this.label = label;
    this.progress = progress;
    this.total = total;
    this.lastAt = from;
  }

  /** @param at bytes that are there now */
  show(at: number): void {
    const now = Date.now();
    const seconds = (now - this.lastTime) / 1000;
    if (seconds < INTERVAL_SECONDS && at !== this.total) return;
    if (seconds > 0) {
      const current = (at - this.lastAt) / seconds;
      this.rate = this.rate === undefined ? current : 0.7 * this.rate + 0.3 * current;
    }
    this.lastAt = at;
    this.lastTime = now;
    const { total, rate, label: message } = this;
    const secondsLeft = total !== undefined && rate ? (total - at) / rate : undefined;
    this.progress({ stage: 'pull', done: at, total, unit: 'bytes', rate, secondsLeft, message });
  }
}
