// What a key may do: requests per minute (a token bucket) and US dollars per day (UTC).
import type { ApiKey } from '../store/store.ts';
import { Problem } from './problem.ts';

interface Account {
  /** Requests that may come at once. */
  tokens: number;
  refilledAt: number;
  /** Day as ISO date, and US dollars spent on it. */
  day: string;
  usd: number;
}

export class Limits {
  #accounts = new Map<string, Account>();
  #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Counts a request. @throws Problem 429, with the seconds to wait */
  admit(key: ApiKey): void {
    const account = this.#account(key);
    if (key.usd_per_day !== null && account.usd >= key.usd_per_day) {
      throw new Problem(
        429,
        'insufficient_quota',
        `the key "${key.name}" has spent its ${key.usd_per_day} dollars of today`,
        (Date.parse(account.day) + DAY_MS - this.#now()) / 1000,
      );
    }
    if (key.requests_per_minute === null) return;
    const perMs = key.requests_per_minute / 60_000;
    account.tokens = Math.min(key.requests_per_minute, account.tokens + (this.#now() - account.refilledAt) * perMs);
    account.refilledAt = this.#now();
    if (account.tokens < 1) {
      const seconds = (1 - account.tokens) / perMs / 1000;
      const what = `the key "${key.name}" may send ${key.requests_per_minute} requests a minute`;
      throw new Problem(429, 'rate_limit_exceeded', what, seconds);
    }
    account.tokens--;
  }

  spend(key: ApiKey, usd: number): void {
    this.#account(key).usd += usd;
  }

  /** What the store knows of today; never less than what this process saw itself. */
  restore(keys: readonly ApiKey[], spent: ReadonlyMap<string, number>): void {
    for (const key of keys) {
      const account = this.#account(key);
      account.usd = Math.max(account.usd, spent.get(key.id) ?? 0);
    }
  }

  /** Start of the day that the money limit counts, ISO 8601. */
  get dayStart(): string {
    return `${this.#day()}T00:00:00.000Z`;
  }

  #account(key: ApiKey): Account {
    const day = this.#day();
    let account = this.#accounts.get(key.id);
    if (!account) {
      account = { tokens: key.requests_per_minute ?? 0, refilledAt: this.#now(), day, usd: 0 };
      this.#accounts.set(key.id, account);
    }
    if (account.day !== day) Object.assign(account, { day, usd: 0 });
    return account;
  }

  #day(): string {
    return new Date(this.#now()).toISOString().slice(0, 10);
  }
}

const DAY_MS = 86_400_000;
