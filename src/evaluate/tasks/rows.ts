// Rows of benchmark data as they are published: JSON lines, JSON, CSV, TSV or Parquet files in a folder.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { CupelError } from '../../base/errors.ts';
import { readJsonl } from '../../base/jsonl.ts';

export type Row = Record<string, unknown>;

/**
 * Rows of the first pattern that any file matches; what `*` stands for becomes the row's `subject` where it has none.
 * `file.json#test` takes a member of a JSON document.
 * @throws CupelError when no file is there
 */
export async function readRows(
  folder: string,
  patterns: readonly string[],
  columns?: readonly string[],
): Promise<Row[]> {
  for (const pattern of patterns) {
    const [path, member] = pattern.split('#');
    const files = matching(folder, path);
    if (files.length === 0) continue;
    const all = await Promise.all(
      files.map(async ({ file, subject }) =>
        (await rowsOf(file, member, columns)).map((row) =>
          subject && !('subject' in row) ? { ...row, subject } : row,
        ),
      ),
    );
    return all.flat();
  }
  throw new CupelError('the data of this task are not here', {
    place: { file: folder },
    remedy: `give the folder that holds ${patterns.join(' or ')}`,
    exitCode: 2,
  });
}

function matching(folder: string, path: string): { file: string; subject?: string }[] {
  if (!path.includes('*')) return existsSync(join(folder, path)) ? [{ file: join(folder, path) }] : [];
  const pattern = patternOf(path);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => ({ file: join(folder, name), found: pattern.exec(name.replaceAll('\\', '/')) }))
    .filter(({ file, found }) => found && statSync(file).isFile())
    .sort((a, b) => (a.file < b.file ? -1 : 1))
    .map(({ file, found }) => ({ file, subject: found![1].replace(/[_/-]+$/, '') }));
}

/** `*` stands for any part of a name. */
function patternOf(path: string): RegExp {
  const escaped = path.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('(.*)')}$`);
}

/** Of a data set's files, those that `readRows` would take for these splits: the first pattern of each that any matches. */
export function namesWanted(names: readonly string[], splits: readonly (readonly string[])[]): string[] {
  const wanted = splits.flatMap((patterns) => {
    const byPattern = patterns.map((pattern) => {
      const expression = patternOf(pattern.split('#')[0]);
      return names.filter((name) => expression.test(name));
    });
    return byPattern.find((found) => found.length > 0) ?? [];
  });
  return [...new Set(wanted)];
}

async function rowsOf(file: string, member: string | undefined, columns?: readonly string[]): Promise<Row[]> {
  const name = basename(file).toLowerCase();
  if (name.endsWith('.jsonl')) return readJsonl<Row>(file);
  if (name.endsWith('.parquet')) return parquetRows(file);
  const text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  if (name.endsWith('.json')) return jsonRows(text, file, member, columns);
  return tableRows(parseTable(text, name.endsWith('.tsv') ? '\t' : ','), columns);
}

async function parquetRows(file: string): Promise<Row[]> {
  const { asyncBufferFromFile, parquetReadObjects } = await import('hyparquet');
  const rows = await parquetReadObjects({
    file: await asyncBufferFromFile(file),
    compressors: {
      GZIP: (bytes: Uint8Array) => new Uint8Array(gunzipSync(bytes)),
      BROTLI: (bytes: Uint8Array) => new Uint8Array(brotliDecompressSync(bytes)),
    },
  });
  // 64-bit integers are labels and counts, which fit a number
  return JSON.parse(JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)));
}

function jsonRows(text: string, file: string, member: string | undefined, columns?: readonly string[]): Row[] {
  const document: unknown = JSON.parse(text);
  const list = member === undefined ? document : (document as Row)[member];
  if (!Array.isArray(list)) {
    throw new CupelError('no list of items is in this JSON file', { place: { file, field: member }, exitCode: 2 });
  }
  return list.map((row: unknown) =>
    Array.isArray(row) ? Object.fromEntries(row.map((value, i) => [columns?.[i] ?? String(i), value])) : (row as Row),
  );
}

/** With names for the columns the file has no header. */
function tableRows(table: string[][], columns?: readonly string[]): Row[] {
  const names = columns ?? table[0] ?? [];
  return table
    .slice(columns ? 0 : 1)
    .filter((cells) => cells.length > 1 || cells[0] !== '')
    .map((cells) => Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ''])));
}

/** RFC 4180: quoted cells may hold separators, line breaks and doubled quotes. */
export function parseTable(text: string, separator: string): string[][] {
  const rows: string[][] = [];
  const row: string[] = [];
  let cell = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (character === '"' && cell === '') quoted = true;
    else if (character === separator || character === '\n') {
      row.push(character === '\n' ? cell.replace(/\r$/, '') : cell);
      cell = '';
      if (character === '\n') rows.push(row.splice(0));
    } else cell += character;
  }
  if (cell !== '' || row.length > 0) rows.push([...row, cell]);
  return rows;
}
