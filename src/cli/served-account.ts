// What the cascade answers and spends while it is served, kept beside the model for the ledger.
import { appendFileSync } from 'node:fs';
import { type ServedLine, servedFileOf } from '../report/served.ts';
import type { Answerer } from '../serve/cascade/cascade.ts';

const EVERY_MS = 60_000;

/** Appends what has come since its last line, at most once a minute and when it is closed; several servers may share a file. */
export class ServedAccount {
  readonly #file: string;
  readonly #timer: NodeJS.Timeout;
  #open = { student: 0, teacher: 0, usd: 0 };
  #told = false;

  constructor(model: string) {
    this.#file = servedFileOf(model);
    this.#timer = setInterval(() => this.flush(), EVERY_MS);
    this.#timer.unref();
  }

  answered(by: Answerer): void {
    this.#open[by]++;
  }

  spent(usd: number): void {
    this.#open.usd += usd;
  }

  /** Where the file cannot be written it is said once, and what is open is kept for the next try. */
  flush(): void {
    const { student, teacher, usd } = this.#open;
    if (student + teacher === 0 && usd === 0) return;
    const line: ServedLine = { at: new Date().toISOString(), student, teacher, usd };
    try {
      appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
      this.#open = { student: 0, teacher: 0, usd: 0 };
    } catch (error) {
      if (!this.#told)
        process.stderr.write(`cannot keep what the teacher costs in ${this.#file}: ${(error as Error).message}\n`);
      this.#told = true;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.flush();
  }
}
