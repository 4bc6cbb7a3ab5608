// The write-ahead journal: an exchange is on file here before its caller gets the end of the answer.
import { closeSync, fdatasync, openSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { diskError } from '../../base/durable.ts';
import { CupelError } from '../../base/errors.ts';
import { encodeLine, type JournalRecord } from './line.ts';
import { listSegments, segmentBytes, segmentPath } from './segments.ts';

/**
 * What an acknowledgement waits for. `process`: the record is with the operating system, so it survives `kill -9` of the
 * gateway (a crash of the whole machine may cost the last five seconds). `disk`: it is synced to disk, many at a time.
 */
export type Durability = 'process' | 'disk';

export interface JournalOptions {
  folder: string;
  durability: Durability;
  /** Bytes after which a new segment begins. */
  segmentBytes?: number;
  /** Bytes that may wait for the store; beyond that `append` fails. */
  limitBytes?: number;
}

/** A sync holds up the writes that come meanwhile, so that it should not happen to one answer in a hundred. */
const SYNC_EVERY_MS = 5_000;
const sync = promisify(fdatasync);

interface Waiter {
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class JournalWriter {
  #options: Required<JournalOptions>;
  #segment: number;
  #fd: number;
  #size = 0;
  #total: number;
  #torn = false;
  #unsynced = false;
  #waiting: Waiter[] = [];
  /** The sync that is under way on the current segment. */
  #syncing: Promise<void> | undefined;
  #retired: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout;

  /** Begins a new segment: the last one may end in a torn line. */
  constructor(options: JournalOptions) {
    this.#options = { segmentBytes: 16 << 20, limitBytes: 4 * 1024 ** 3, ...options };
    this.#segment = (listSegments(options.folder).at(-1) ?? 0) + 1;
    this.#fd = openSync(segmentPath(options.folder, this.#segment), 'a');
    this.#total = segmentBytes(options.folder);
    this.#timer = setInterval(() => this.#sync(), SYNC_EVERY_MS);
    this.#timer.unref();
  }

  /** Number of the segment being written. */
  get segment(): number {
    return this.#segment;
  }

  /**
   * Writes a record. It returns, or resolves, when the record is as durable as was asked for.
   * @throws CupelError when the disk or the journal is full
   */
  append(record: JournalRecord): void | Promise<void> {
    const line = encodeLine(record);
    if (this.#size > 0 && this.#size + line.length > this.#options.segmentBytes) this.rotate();
    if (this.#total + line.length > this.#options.limitBytes) this.#checkLimit(line.length);
    this.#write(line);
    this.#unsynced = true;
    if (this.#options.durability === 'process') return;
    const synced = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    this.#sync();
    return synced;
  }

  /** Ends the segment, so that the reader can finish with it and drop it. */
  rotate(): void {
    const next = openSync(segmentPath(this.#options.folder, this.#segment + 1), 'a');
    this.#retire();
    this.#segment++;
    this.#fd = next;
    this.#size = 0;
    this.#torn = false;
  }

  /** Syncs and closes what was written. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#retire();
    await this.#retired;
  }

  /** Syncs the current file once the sync under way is over, then closes it; nothing waits for that but its own lines. */
  #retire(): void {
    const fd = this.#fd;
    const group = this.#waiting.splice(0);
    const before = Promise.all([this.#retired, this.#syncing]);
    this.#syncing = undefined;
    this.#unsynced = false;
    this.#retired = before
      .then(() => sync(fd))
      .then(...settle(group))
      .finally(() => closeSync(fd));
  }

  #checkLimit(bytes: number): void {
    this.#total = segmentBytes(this.#options.folder);
    if (this.#total + bytes <= this.#options.limitBytes) return;
    throw new CupelError(`the journal is full: ${this.#total} bytes wait for the database`, {
      place: { file: this.#options.folder },
      remedy: 'bring the database back, or allow a larger journal',
    });
  }

  #write(line: Buffer): void {
    // after a failed write the segment may end in a part of a line: close that first, the reader skips it
    const bytes = this.#torn ? Buffer.concat([Buffer.from('\n'), line]) : line;
    this.#size += bytes.length;
    this.#total += bytes.length;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at, bytes.length - at);
      this.#torn = false;
    } catch (error) {
      this.#torn = true;
      throw diskError(error, this.#options.folder);
    }
  }

  /** One sync at a time; whoever comes meanwhile shares the next one (group commit). */
  #sync(): void {
    if (this.#syncing || !this.#unsynced) return;
    this.#unsynced = false;
    const group = this.#waiting.splice(0);
    const running: Promise<void> = sync(this.#fd)
      .then(...settle(group))
      .then(() => {
        if (this.#syncing !== running) return;
        this.#syncing = undefined;
        if (this.#waiting.length > 0) this.#sync();
      });
    this.#syncing = running;
  }
}

function settle(group: Waiter[]): [() => void, (error: unknown) => void] {
  return [
    () => {
      for (const { resolve } of group) resolve();
    },
    (error) => {
      for (const { reject } of group) reject(error);
    },
  ];
}
