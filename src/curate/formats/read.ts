// Reads conversations from any file we know: JSON lines, a JSON list, CSV or Parquet; rows of foreign formats are converted.
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { CupelError } from '../../base/errors.ts';
import { type JsonLine, readLines } from '../../base/jsonl.ts';
import { batchMemory, orphans } from './batch.ts';
import { convert, type Json } from './convert.ts';
import { csvRows, isCsv } from './csv.ts';
import { parquetRows } from './parquet.ts';
import { isObject, unpacked } from './values.ts';

/** A line of OpenAI chat JSONL, as it was or as it became; with `reason`, one that could not be converted. */
export interface ConversationLine extends JsonLine {
  reason?: string;
}

/** Longest JSON document that is read as a whole. */
const DOCUMENT_BYTES = 500e6;

/**
 * Yields one line for each conversation. `line` is the line of the file; in a JSON list or in Parquet, the row from 1.
 * Lines of plain chat rows, and lines that are no JSON, are passed on as they are.
 */
export async function* readConversations(file: string, maxLineBytes: number): AsyncGenerator<ConversationLine> {
  const memory = batchMemory();
  let last = 0;
  for await (const line of rowsOf(file, maxLineBytes)) {
    last = line.line;
    const row = line.tooLong || line.invalidUtf8 || line.reason ? undefined : parse(line.text);
    const converted = row && convert(row, memory);
    if (!converted) yield line;
    else if ('reason' in converted) yield { ...line, reason: converted.reason };
    else for (const one of converted.rows) yield { ...line, text: JSON.stringify(one) };
  }
  const lost = orphans(memory);
  if (lost > 0) {
    const reason = `a batch without its requests: ${lost} answers; put both files into one: cat input.jsonl output.jsonl`;
    yield { line: last, text: '', tooLong: false, invalidUtf8: false, reason };
  }
}

async function* rowsOf(file: string, maxLineBytes: number): AsyncGenerator<ConversationLine> {
  const start = firstBytes(file);
  if (start.startsWith('PAR1')) {
    let line = 0;
    for await (const row of parquetRows(file)) yield lineOf(++line, opened(row));
    return;
  }
  if (PACKED.some((mark) => start.startsWith(mark))) {
    throw new CupelError('the file is compressed', { place: { file }, remedy: 'unpack it first', exitCode: 2 });
  }
  if (isCsv(start)) {
    for await (const { line, row, reason } of csvRows(file, maxLineBytes))
      yield row ? lineOf(line, opened(row)) : { ...lineOf(line, {}), reason };
    return;
  }
  const list = DOCUMENT.test(start) ? documentRows(file) : undefined;
  if (list) for (const [i, row] of list.entries()) yield lineOf(i + 1, row);
  else yield* readLines(file, maxLineBytes);
}

/** gzip, zip, zstd and bzip2 by their first bytes, as far as they survive being read as text. */
const PACKED = ['\x1f\ufffd', 'PK\x03\x04', '(\ufffd/\ufffd', 'BZh'];

function lineOf(line: number, row: unknown): JsonLine {
  return { line, text: JSON.stringify(row), tooLong: false, invalidUtf8: false };
}

/** Columns that hold JSON as text. */
function opened(row: Json): Json {
  return Object.fromEntries(
    Object.entries(row).flatMap(([name, value]) => {
      if (value === null || value === undefined) return [];
      return [[name, LISTS.has(name) ? unpacked(value) : value]];
    }),
  );
}

const LISTS = new Set(['messages', 'tools', 'usage', 'tags', 'conversations', 'request', 'response', 'feedback']);

/** Items of a JSON document that is a list of rows, or an object around one; what is no row is refused by its number. */
function documentRows(file: string): unknown[] | undefined {
  if (statSync(file).size > DOCUMENT_BYTES) return undefined;
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(file, 'utf8').replace(/^\uFEFF/, ''));
  } catch {
    return undefined;
  }
  const inner = isObject(document) ? Object.values(document).find(Array.isArray) : document;
  return Array.isArray(inner) && inner.some(isObject) ? inner : undefined;
}

/** A list, or an object that begins with a member that is one. */
const DOCUMENT = /^[\uFEFF\s]*(\[|\{\s*("object"\s*:\s*"list"\s*,\s*)?"(data|rows|traces|items|examples)"\s*:\s*\[)/;

function firstBytes(file: string): string {
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(4096);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
