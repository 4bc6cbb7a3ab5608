// Follows the journal in batches, from where the store left off to the line that is being written.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { decodeLine, type JournalRecord } from './line.ts';
import { type Cursor, listSegments, readCursor, saveCursor, segmentPath } from './segments.ts';

export interface Batch {
  records: JournalRecord[];
  /** Where the next batch begins once this one is in the store. */
  next: Cursor;
  /** The batch was cut by a limit or a segment's end, so there may be more at once. */
  more: boolean;
  /** Lines that were torn by a crash or damaged; nobody was told that they were stored. */
  damaged: number;
}

export interface BatchLimits {
  records: number;
  bytes: number;
}

const SAVE_EVERY_MS = 1_000;

export class JournalReader {
  #folder: string;
  #cursor: Cursor;
  #savedAt = 0;
  #unsaved = false;

  constructor(folder: string) {
    this.#folder = folder;
    this.#cursor = readCursor(folder);
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  /** Up to a batch of records after the cursor; none when the store has everything. Does not move the cursor. */
  read(limits: BatchLimits): Batch {
    const segments = listSegments(this.#folder).filter((segment) => segment >= this.#cursor.segment);
    let next = this.#cursor;
    for (const [i, segment] of segments.entries()) {
      const start = segment === this.#cursor.segment ? this.#cursor.offset : 0;
      // a later segment exists, so this one was complete before it is read here
      const finished = i < segments.length - 1;
      const batch = readBatch(segmentPath(this.#folder, segment), segment, start, limits, finished);
      next = batch.next;
      if (batch.records.length > 0 || batch.damaged > 0 || !finished) return batch;
    }
    return { records: [], next, damaged: 0, more: false };
  }

  /** The store has the batch: moves on and drops segments that are done with. */
  commit({ next }: Batch): void {
    const { segment, offset } = this.#cursor;
    if (next.segment === segment && next.offset === offset) return;
    this.#cursor = next;
    // an old cursor only means that rows are offered again, so that it need not be saved each time
    if (next.segment > segment || Date.now() - this.#savedAt >= SAVE_EVERY_MS) this.#save();
    else this.#unsaved = true;
  }

  /** Saves the cursor. */
  close(): void {
    if (this.#unsaved) this.#save();
  }

  #save(): void {
    saveCursor(this.#folder, this.#cursor);
    this.#savedAt = Date.now();
    this.#unsaved = false;
  }
}

function readBatch(path: string, segment: number, start: number, limits: BatchLimits, finished: boolean): Batch {
  const bytes = readBytes(path, start, limits.bytes);
  const records: JournalRecord[] = [];
  let damaged = 0;
  let at = 0;
  while (records.length < limits.records) {
    const end = bytes.indexOf(10, at);
    if (end < 0) break;
    const record = decodeLine(bytes.subarray(at, end));
    if (record) records.push(record);
    else if (end > at) damaged++;
    at = end + 1;
  }
  if (at === 0 && bytes.length === limits.bytes) {
    return readBatch(path, segment, start, { ...limits, bytes: limits.bytes * 4 }, finished);
  }
  const exhausted = bytes.length < limits.bytes && bytes.indexOf(10, at) < 0;
  if (!finished || !exhausted) return { records, next: { segment, offset: start + at }, damaged, more: !exhausted };
  const torn = at < bytes.length ? 1 : 0;
  return { records, next: { segment: segment + 1, offset: 0 }, damaged: damaged + torn, more: true };
}

function readBytes(path: string, start: number, limit: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const wanted = Math.min(limit, Math.max(0, fstatSync(fd).size - start));
    const buffer = Buffer.allocUnsafe(wanted);
    let size = 0;
    for (let got = -1; got !== 0 && size < wanted; size += got) {
      got = readSync(fd, buffer, size, wanted - size, start + size);
    }
    return buffer.subarray(0, size);
  } finally {
    closeSync(fd);
  }
}
