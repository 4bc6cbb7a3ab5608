// Reads a file front to back with a small window, and byte ranges anywhere; every length is checked against the file.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { CupelError } from '../base/errors.ts';

const WINDOW = 1 << 20;
const LARGEST_READ = 1 << 30;

/** A file open for reading, with a cursor for little-endian values. */
export class FileReader {
  readonly path: string;
  readonly size: number;
  /** Where the next value is read. */
  position = 0;
  private fd: number | undefined;
  private window = Buffer.alloc(0);
  private windowStart = 0;

  /** @throws CupelError when there is no such file */
  constructor(path: string) {
    this.path = path;
    this.fd = openForReading(path);
    const stat = fstatSync(this.fd);
    if (!stat.isFile()) {
      this.close();
      throw new CupelError('not a file', { place: { file: path }, remedy: 'give the path of a file' });
    }
    this.size = stat.size;
  }

  get remaining(): number {
    return this.size - this.position;
  }

  /** The next `count` bytes as a view that the next call may overwrite. @throws CupelError when the file is too short */
  take(count: number, field: string): Buffer {
    if (count > this.remaining) this.fail(`the file ends within ${field} (${count} bytes wanted)`, field);
    if (this.position < this.windowStart || this.position + count > this.windowStart + this.window.length) {
      this.window = Buffer.from(this.read(this.position, Math.min(this.remaining, Math.max(WINDOW, count))).buffer);
      this.windowStart = this.position;
    }
    const from = this.position - this.windowStart;
    this.position += count;
    return this.window.subarray(from, from + count);
  }

  /** Bytes `[offset, offset + count)` in memory of their own. */
  read(offset: number, count: number): Uint8Array<ArrayBuffer> {
    if (!(offset >= 0 && count >= 0 && offset + count <= this.size)) {
      this.fail(`bytes ${offset} to ${offset + count} lie outside the file of ${this.size} bytes`);
    }
    if (this.fd === undefined) throw new CupelError('the file is closed', { place: { file: this.path } });
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const got = readSync(this.fd, bytes, at, Math.min(LARGEST_READ, count - at), offset + at);
      if (got === 0) this.fail('the file became shorter while it was read');
      at += got;
    }
    return bytes;
  }

  fail(message: string, field?: string): never {
    throw new CupelError(message, {
      place: { file: this.path, field },
      remedy: 'the file is damaged or not of this format: fetch it again, or check its SHA-256',
    });
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}

function openForReading(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CupelError(missing ? 'no such file' : `cannot be opened: ${(cause as Error).message}`, {
      place: { file: path },
      remedy: missing ? 'check the path' : undefined,
      cause,
    });
  }
}
