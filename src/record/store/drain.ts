// Keeps the store up with the journal: batch after batch, and patient while the database is away.
import { JournalReader } from '../journal/reader.ts';
import { reason } from './open.ts';
import { removeSetAside, setAside } from './set-aside.ts';
import type { Store } from './store.ts';
import { takeOver } from './takeover.ts';

export interface DrainStatus {
  /** The database answered last time. */
  connected: boolean;
  /** Why it did not. */
  problem: string | null;
  stored: number;
  /** Records that the database refused; kept in `rejected.jsonl` beside the journal. */
  rejected: number;
  /** Torn or damaged lines. */
  damaged: number;
}

export interface DrainOptions {
  folder: string;
  /** Opens the store; called again until it succeeds. */
  open: () => Promise<Store>;
  onStatus: (status: DrainStatus) => void;
  /** What is older is removed: looked for every hour, or more often where the age itself is short. */
  retainDays?: number;
}

const BATCH = { records: 500, bytes: 4 << 20 };
/** Between batches that are not full: a few large ones cost the database far less than many small ones. */
const PAUSE_MS = 200;
const HOUR_MS = 3_600_000;
/** Failures in a row after which the store is opened anew, and how long the old one may take to close. */
const REOPEN_AFTER = 3;
const CLOSING_MS = 5_000;

export class Drain {
  #options: DrainOptions;
  #reader: JournalReader;
  #store: Store | undefined;
  #stopping = false;
  #failures = 0;
  #cleanedAt = 0;
  #wake = () => {};
  #arrivals: { segment: number; resolve: () => void }[] = [];
  readonly status: DrainStatus = { connected: false, problem: null, stored: 0, rejected: 0, damaged: 0 };

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#reader = new JournalReader(options.folder);
  }

  /** The open store; undefined while the database is away. */
  get store(): Store | undefined {
    return this.#store;
  }

  /** Runs until `stop`. Never throws: trouble shows in the status and is tried again. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      try {
        this.#store ??= await this.#options.open();
        const more = await this.#step(this.#store);
        this.#connected();
        if (!more) await this.#pause(PAUSE_MS);
      } catch (error) {
        this.#away(error);
        if (++this.#failures % REOPEN_AFTER === 0) await this.#letGo();
        // from a quarter of a second to five seconds
        await this.#pause(Math.min(125 * 2 ** this.#failures, 5_000));
      }
    }
    await this.#finish().catch((error: unknown) => this.#away(error));
    this.#reader.close();
    await this.#store?.close();
  }

  /** The embedded database does not survive a disk too full for its log: it comes back when it is opened anew. */
  async #letGo(): Promise<void> {
    const closing = this.#store?.close().catch(() => {});
    this.#store = undefined;
    await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, CLOSING_MS).unref())]);
  }

  /** What is left, so that a gateway that was stopped leaves nothing to do; what the database does not take now, waits. */
  async #finish(): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (this.#store && this.status.connected && Date.now() < deadline && (await this.#step(this.#store)));
  }

  /** Sleeps, unless somebody waits for an arrival or for the end. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Resolves when everything before `segment` is in the store. */
  arrival(segment: number): Promise<void> {
    return new Promise((resolve) => {
      this.#arrivals.push({ segment, resolve });
      if (this.status.connected) this.#wake();
    });
  }

  stop(): void {
    this.#stopping = true;
    this.#wake();
  }

  /** One batch. True when it was full, so that there is more. */
  async #step(store: Store): Promise<boolean> {
    const batch = this.#reader.read(BATCH);
    if (batch.records.length > 0) {
      const rejected = await takeOver(store, batch.records);
      for (const record of rejected) setAside(this.#options.folder, record);
      this.status.stored += batch.records.length - rejected.length;
      this.status.rejected += rejected.length;
    }
    this.status.damaged += batch.damaged;
    this.#reader.commit(batch);
    this.#arrivals = this.#arrivals.filter(({ segment, resolve }) => {
      if (this.#reader.cursor.segment < segment) return true;
      resolve();
      return false;
    });
    await this.#clean(store);
    return batch.more || (batch.records.length > 0 && this.#arrivals.length > 0);
  }

  async #clean(store: Store): Promise<void> {
    const { retainDays } = this.#options;
    if (retainDays === undefined) return;
    const age = retainDays * 24 * HOUR_MS;
    if (Date.now() - this.#cleanedAt < Math.min(HOUR_MS, age / 10)) return;
    this.#cleanedAt = Date.now();
    const until = new Date(Date.now() - age).toISOString();
    await store.expire(until);
    removeSetAside(this.#options.folder, { until });
  }

  #connected(): void {
    const changed = !this.status.connected;
    this.#failures = 0;
    this.status.connected = true;
    this.status.problem = null;
    if (changed) this.#options.onStatus(this.status);
  }

  #away(error: unknown): void {
    this.status.connected = false;
    this.status.problem = reason(error);
    this.#options.onStatus(this.status);
  }
}
