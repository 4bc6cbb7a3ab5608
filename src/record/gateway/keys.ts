// The gateway's own API keys: made once, kept as hashes, known also while the database is away.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { writeFileDurably } from '../../base/durable.ts';
import { CupelError } from '../../base/errors.ts';
import { sha256 } from '../../base/hash.ts';
import { newId } from '../exchange.ts';
import type { ApiKey } from '../store/store.ts';

export interface NewKey {
  name: string;
  requestsPerMinute?: number;
  usdPerDay?: number;
}

/** A row for the store, and the key itself, which is shown once and stored nowhere. */
export function makeKey({ name, requestsPerMinute, usdPerDay }: NewKey): { row: ApiKey; secret: string } {
  const secret = `${PREFIX}${randomBytes(32).toString('base64url')}`;
  const row: ApiKey = {
    id: newId('key'),
    name,
    hash: sha256(secret),
    hint: secret.slice(0, PREFIX.length + 4),
    created_at: new Date().toISOString(),
    revoked_at: null,
    requests_per_minute: requestsPerMinute ?? null,
    usd_per_day: usdPerDay ?? null,
  };
  return { row, secret };
}

const PREFIX = 'cupel-';

/** True for what looks like a key of this gateway: such a text never goes upstream. */
export function isGatewayKey(secret: string): boolean {
  return secret.startsWith(PREFIX);
}

/** Keys in memory, with a copy of their hashes on disk for a start without the database. */
export class KeyRing {
  #file: string;
  #byHash = new Map<string, ApiKey>();
  #saved = '';
  #known = false;

  constructor(file: string) {
    this.#file = file;
    if (existsSync(file)) this.#load();
  }

  /** The keys were read, from the store or from the copy. */
  get known(): boolean {
    return this.#known;
  }

  /** A key was made once, so callers without one are no longer welcome (also after the last was revoked). */
  get any(): boolean {
    return this.#byHash.size > 0;
  }

  /** Some key has a money limit. */
  get limitMoney(): boolean {
    return [...this.#byHash.values()].some((key) => key.usd_per_day !== null);
  }

  find(secret: string): ApiKey | undefined {
    // the hash of 256 random bits: how long the look-up takes tells nothing
    const key = this.#byHash.get(sha256(secret));
    return key && key.revoked_at === null ? key : undefined;
  }

  /** Takes over the store's keys. */
  replace(keys: readonly ApiKey[]): void {
    this.#byHash = new Map(keys.map((key) => [key.hash, key]));
    this.#known = true;
    const text = JSON.stringify(keys);
    if (text === this.#saved) return;
    writeFileDurably(this.#file, `${text}\n`);
    this.#saved = text;
  }

  #load(): void {
    try {
      this.#saved = readFileSync(this.#file, 'utf8').trim();
      this.#byHash = new Map((JSON.parse(this.#saved) as ApiKey[]).map((key) => [key.hash, key]));
      this.#known = true;
    } catch (cause) {
      throw new CupelError('the copy of the API keys is damaged', {
        place: { file: this.#file },
        remedy: 'delete the file while the database can be reached; the keys themselves are there',
        cause,
      });
    }
  }
}
