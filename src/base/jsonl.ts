// JSON lines, read one at a time with their line numbers and a limit on length.
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { CupelError } from './errors.ts';

export interface JsonLine {
  /** Line number from 1. */
  line: number;
  text: string;
  /** The line was cut at the limit. */
  tooLong: boolean;
  /** The line holds bytes that are no UTF-8; `text` has U+FFFD in their place. */
  invalidUtf8: boolean;
}

/** Yields the lines of a UTF-8 file (`\n` or `\r\n`, byte-order mark dropped); memory is bounded by `maxBytes` a line. */
export async function* readLines(path: string, maxBytes = 16 << 20): AsyncGenerator<JsonLine> {
  let line = 0;
  let pending: Buffer[] = [];
  let size = 0;
  let tooLong = false;
  const take = (): JsonLine => {
    const bytes = Buffer.concat(pending);
    const whole = bytes.toString('utf8').replace(/\r$/, '');
    const text = ++line === 1 ? whole.replace(/^\uFEFF/, '') : whole;
    // a line cut at the limit may end within a character
    const result = { line, text, tooLong, invalidUtf8: !tooLong && !isUtf8(bytes) };
    pending = [];
    size = 0;
    tooLong = false;
    return result;
  };
  const add = (part: Buffer) => {
    size += part.length;
    if (size > maxBytes) tooLong = true;
    if (!tooLong) pending.push(part);
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      add(chunk.subarray(from, at));
      yield take();
      from = at + 1;
    }
    if (from < chunk.length) add(chunk.subarray(from));
  }
  if (size > 0) yield take();
}

/** Reads a file we wrote ourselves: every line must parse. @throws CupelError with file and line */
export async function readJsonl<T>(path: string): Promise<T[]> {
  const rows: T[] = [];
  for await (const { line, text, tooLong } of readLines(path, 256 << 20)) {
    if (!text.trim()) continue;
    try {
      if (tooLong) throw new Error('line over 256 MiB');
      rows.push(JSON.parse(text) as T);
    } catch (error) {
      throw new CupelError(`not JSON: ${(error as Error).message}`, { place: { file: path, line } });
    }
  }
  return rows;
}

/** One JSON value a line, with a newline at the end. */
export function toJsonl(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
