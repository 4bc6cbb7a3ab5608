// One line of the journal: a checksum, the kind of record, and the record as JSON.
import { crc32 } from 'node:zlib';

/** `x` is an exchange, `f` feedback; the JSON is a row of the table. */
export type JournalKind = 'x' | 'f';

export interface JournalRecord {
  kind: JournalKind;
  /** A database row as JSON text. */
  json: string;
}

const HEAD = 10;

/** `crc32 (8 hex digits), a space, the kind, the JSON, a newline`. JSON text has no raw newline. */
export function encodeLine({ kind, json }: JournalRecord): Buffer {
  const body = Buffer.from(`${kind}${json}\n`);
  const sum = crc32(body.subarray(0, -1)).toString(16).padStart(8, '0');
  return Buffer.concat([Buffer.from(`${sum} `), body]);
}

/** The record of a line without its newline; undefined when it is torn or damaged. */
export function decodeLine(line: Buffer): JournalRecord | undefined {
  if (line.length <= HEAD || line[8] !== 0x20) return undefined;
  const body = line.subarray(9);
  if (crc32(body) !== Number.parseInt(line.toString('latin1', 0, 8), 16)) return undefined;
  const kind = String.fromCharCode(body[0]);
  return kind === 'x' || kind === 'f' ? { kind, json: body.toString('utf8', 1) } : undefined;
}
