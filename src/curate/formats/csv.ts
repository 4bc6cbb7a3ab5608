// Reads CSV with a head, as Langfuse and LiteLLM export it: RFC 4180, so fields in quotes may hold commas, quotes and new lines.
import { createReadStream } from 'node:fs';
import type { Json } from './convert.ts';

/** A row by the names of the head, or why it is none; `line` is where it begins in the file, from 1. */
export interface CsvRow {
  line: number;
  row?: Json;
  reason?: string;
}

/** Columns of conversations: a first line that names one of them, and is no JSON, is the head of a CSV file. */
const KNOWN = new Set(['messages', 'conversations', 'instruction', 'prompt', 'input', 'output', 'response']);

/** @param start the first characters of the file */
export function isCsv(start: string): boolean {
  const head = start.replace(/^\uFEFF/, '').split(/\r?\n/, 1)[0];
  if (/^\s*[[{]/.test(head) || !head.includes(',')) return false;
  return head.split(',').some((name) => KNOWN.has(name.replace(/^"|"$/g, '')));
}

/** @param maxBytes of a row; what is longer is refused */
export async function* csvRows(file: string, maxBytes: number): AsyncGenerator<CsvRow> {
  let head: string[] | undefined;
  for await (const { line, fields } of records(file, maxBytes)) {
    if (fields === undefined) yield { line, reason: `over-long: the row has more than ${maxBytes} characters` };
    else if (!head) head = fields;
    else if (fields.length !== head.length)
      yield { line, reason: `not CSV: ${fields.length} fields where the head has ${head.length}` };
    else yield { line, row: Object.fromEntries(head.flatMap((name, i) => memberOf(name, fields[i]))) };
  }
}

/** An empty field says nothing; counts are numbers. */
function memberOf(name: string, field: string): [string, unknown][] {
  if (field === '') return [];
  return [[name, /tokens$/i.test(name) && /^\d+$/.test(field) ? Number(field) : field]];
}

/** `fields` is undefined for a row over the limit. */
async function* records(file: string, most: number): AsyncGenerator<{ line: number; fields?: string[] }> {
  const stream = createReadStream(file, 'utf8') as AsyncIterable<string>;
  let [line, begun, size] = [1, 1, 0];
  let fields: string[] = [];
  let field = '';
  // within quotes; a quote just seen there, which ends the field unless another follows
  let [quoted, closing, first] = [false, false, true];
  const record = () => {
    const made = { line: begun, fields: size > most ? undefined : [...fields, field] };
    [fields, field, size, begun, closing] = [[], '', 0, line, false];
    return made;
  };
  for await (const chunk of stream) {
    for (const character of first ? chunk.replace(/^\uFEFF/, '') : chunk) {
      first = false;
      if (character === '\n') line++;
      const kept = size++ <= most;
      if (quoted && !closing) {
        if (character === '"') closing = true;
        else if (kept) field += character;
      } else if (quoted && character === '"') {
        if (kept) field += '"';
        closing = false;
      } else {
        if (closing) [quoted, closing] = [false, false];
        if (character === '"' && field === '') quoted = true;
        else if (character === ',') {
          if (kept) fields.push(field);
          field = '';
        } else if (character === '\n') {
          if (fields.length > 0 || field !== '') yield record();
          else [size, begun] = [0, line];
        } else if (character !== '\r' && kept) field += character;
      }
    }
  }
  if (fields.length > 0 || field !== '') yield record();
}
