// Records exchanges: redacted, journaled before the caller is answered, taken over into the store by another thread.
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { lockWorkspace } from '../artifacts/lock.ts';
import { CupelError } from '../base/errors.ts';
import { startWorker } from '../base/worker.ts';
import type { Exchange, Feedback } from './exchange.ts';
import { segmentBytes } from './journal/segments.ts';
import { type Durability, JournalWriter } from './journal/writer.ts';
import { loadRedactionKey } from './redact/key.ts';
import type { PhoneRegion } from './redact/phones.ts';
import { type CustomPattern, type RedactionCounts, Redactor } from './redact/redactor.ts';
import type { DrainStatus } from './store/drain.ts';
import type { StorePlace } from './store/open.ts';
import type { FromWorker, RemoteStore, StoreCall, ToWorker, WorkerData } from './store/protocol.ts';

export interface RecorderOptions {
  /** Journal, embedded database and keys live in `WORKSPACE/record`. */
  workspace: string;
  /** A PostgreSQL URL instead of the embedded database. */
  databaseUrl?: string;
  durability?: Durability;
  /** Bytes that may wait on disk for a database that is away. */
  journalLimitBytes?: number;
  /** Exchanges older than this are removed. */
  retainDays?: number;
  redaction?: { key?: string; regions?: readonly PhoneRegion[]; custom?: readonly CustomPattern[] };
  onStatus?: (status: DrainStatus) => void;
}

/** A JSON body, redacted and ready to be stored. */
export interface Prepared {
  json: string;
  counts: RedactionCounts;
}

type Pending = { resolve: (value: unknown) => void; reject: (error: Error) => void };

/** The database is away; what was recorded waits in the journal. */
export class StoreAwayError extends Error {}

export class Recorder {
  readonly redactor: Redactor;
  readonly store: RemoteStore;
  #folder: string;
  #journal: JournalWriter;
  #worker: Worker;
  #unlock: () => void;
  #pending = new Map<number, Pending>();
  #nextId = 1;

  /** @throws CupelError when another process records into the workspace, or a custom pattern is wrong */
  constructor(options: RecorderOptions) {
    this.#folder = join(options.workspace, 'record');
    this.#unlock = lockWorkspace(this.#folder);
    const { key, regions, custom } = options.redaction ?? {};
    this.redactor = new Redactor({ key: loadRedactionKey(this.#folder, key), regions, custom });
    const { durability = 'process', journalLimitBytes: limitBytes } = options;
    const folder = join(this.#folder, 'journal');
    this.#journal = new JournalWriter({ folder, durability, ...(limitBytes === undefined ? {} : { limitBytes }) });
    this.#worker = this.#startWorker({ folder, place: placeOf(options), retainDays: options.retainDays }, options);
    this.store = Object.fromEntries(
      STORE_CALLS.map((call) => [call, (...args: unknown[]) => this.#ask({ call, args })]),
    ) as unknown as RemoteStore;
  }

  /** Redacts a body; do it while the upstream works, so that it delays nobody. */
  prepare(body: unknown): Prepared {
    const counts: RedactionCounts = {};
    const redacted = this.redactor.value(body, counts);
    return { json: JSON.stringify(redacted) ?? 'null', counts };
  }

  /**
   * Journals an exchange whose bodies were prepared; tags and user are redacted here. Returns, or resolves, when it is
   * durable: only then may the caller get the end of the answer.
   * @throws CupelError when the disk or the journal is full
   */
  record(exchange: Omit<Exchange, 'request' | 'response' | 'redactions'>, request: Prepared, response: Prepared) {
    const counts = { ...request.counts };
    for (const [kind, count] of Object.entries(response.counts)) counts[kind] = (counts[kind] ?? 0) + count;
    const labels = this.#redactLabels(exchange);
    const rest = JSON.stringify({ ...exchange, ...labels, redactions: counts });
    // the bodies are JSON already
    const json = `{"request":${request.json},"response":${response.json},${rest.slice(1)}`;
    return this.#journal.append({ kind: 'x', json });
  }

  #redactLabels<T extends { tags?: Record<string, string>; user_id?: string | null }>(labels: T): T {
    const { tags, user_id } = labels;
    return {
      ...labels,
      ...(tags ? { tags: this.redactor.value(tags, {}) } : {}),
      ...(user_id ? { user_id: this.redactor.text(user_id, {}) } : {}),
    };
  }

  /** A filter as the stored labels are spelled: the same names become the same pseudonyms. */
  redactLabelsIn<T extends { tags?: Record<string, string>; user?: string }>(filter: T): T {
    const { tags, user } = filter;
    return {
      ...filter,
      ...(tags ? { tags: this.redactor.value(tags, {}) } : {}),
      ...(user ? { user: this.redactor.text(user, {}) } : {}),
    };
  }

  /** Journals feedback, redacted. Returns, or resolves, when it is durable. */
  feedback(feedback: Feedback): void | Promise<void> {
    const { corrected, comment } = this.redactor.value(
      { corrected: feedback.corrected, comment: feedback.comment },
      {},
    );
    return this.#journal.append({ kind: 'f', json: JSON.stringify({ ...feedback, corrected, comment }) });
  }

  /** Resolves when everything recorded so far is in the store. @throws StoreAwayError after `timeoutMs` */
  async settled(timeoutMs: number): Promise<void> {
    this.#journal.rotate();
    const arrived = this.#ask({ call: 'arrival', segment: this.#journal.segment });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new StoreAwayError('the database is not keeping up')), timeoutMs);
    });
    await Promise.race([arrived, late]).finally(() => clearTimeout(timer));
  }

  async status(): Promise<DrainStatus & { waitingBytes: number }> {
    const status = (await this.#ask({ call: 'status' })) as DrainStatus;
    return { ...status, waitingBytes: segmentBytes(join(this.#folder, 'journal')) };
  }

  /** Stops the thread and closes the files. What is not in the store yet is taken over at the next start. */
  async close(): Promise<void> {
    await this.#ask({ call: 'stop' });
    // an embedded database that died leaves something behind that keeps its thread alive
    await this.#worker.terminate();
    await this.#journal.close();
    this.#unlock();
  }

  #startWorker(workerData: WorkerData, options: RecorderOptions): Worker {
    const worker = startWorker(import.meta.url, './store/worker', { workerData });
    worker.on('message', (message: FromWorker) => {
      if ('status' in message) options.onStatus?.(message.status);
      else this.#settle(message);
    });
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', () => this.#fail(new StoreAwayError('the thread of the store has ended')));
    return worker;
  }

  #settle(message: Exclude<FromWorker, { status: DrainStatus }>): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ('error' in message) {
      pending?.reject(message.away ? new StoreAwayError(message.error) : new CupelError(message.error));
    } else pending?.resolve(message.result);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #ask(question: DistributiveOmit<ToWorker, 'id'>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...question });
    });
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

const STORE_CALLS: StoreCall[] = ['page', 'remove', 'counts', 'spent', 'keys', 'addKey', 'revokeKey'];

function placeOf(options: RecorderOptions): StorePlace {
  return options.databaseUrl ? { url: options.databaseUrl } : { folder: join(options.workspace, 'record', 'pglite') };
}
