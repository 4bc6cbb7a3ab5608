// Rows of benchmark data as they are published: JSON lines, JSON, CSV, TSV or Parquet files in a folder.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { type UnzipFileInfo, unzipSync } from 'fflate';
import { CupelError, type ErrorPlace } from '../../base/errors.ts';

/** Where a row stands: goes along when it is copied, and is none of its fields. Of Parquet and JSON the line is the row's number. */
export const PLACE = Symbol('place');
export type Row = Record<string, unknown> & { [PLACE]?: ErrorPlace };

/**
 * Rows of the first pattern that any file matches; what `*` stands for becomes the row's `subject` where it has none.
 * `file.json#test` takes a member of a JSON document. A single file in place of the folder is taken whatever its name.
 * @throws CupelError when no file is there
 */
export async function readRows(
  folder: string,
  patterns: readonly string[],
  columns?: readonly string[],
): Promise<Row[]> {
  if (existsSync(folder) && statSync(folder).isFile()) {
    const names = patterns.map((pattern) => patternOf(basename(pattern.split('#')[0])).exec(basename(folder))?.[1]);
    const rows = await rowsOf(folder, readFileSync(folder), undefined, columns);
    return withSubject(rows, subjectIn(names.find((name) => name) ?? ''));
  }
  for (const pattern of patterns) {
    const [path, member] = pattern.split('#');
    const files = path.endsWith('.zip') ? zipped(join(folder, path), member) : matching(folder, path);
    if (files.length === 0) continue;
    const all = await Promise.all(
      files.map(async ({ file, bytes, subject }) =>
        withSubject(await rowsOf(file, bytes, path.endsWith('.zip') ? undefined : member, columns), subject),
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

function withSubject(rows: Row[], subject: string | undefined): Row[] {
  return subject ? rows.map((row) => ('subject' in row ? row : { ...row, subject })) : rows;
}

interface Found {
  file: string;
  bytes: Uint8Array;
  subject?: string;
}

/** Larger members of an archive are no benchmark data. */
const MOST_BYTES = 2 ** 28;

/** Members of a zip archive (CMMLU and C-Eval are published as one), by a pattern as for files. */
function zipped(archive: string, member: string): Found[] {
  if (!existsSync(archive)) return [];
  const pattern = patternOf(`*${member}`);
  const filter = ({ name, originalSize }: UnzipFileInfo) => pattern.test(name) && originalSize <= MOST_BYTES;
  try {
    return Object.entries(unzipSync(readFileSync(archive), { filter }))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, bytes]) => ({ file: name, bytes, subject: subjectIn(pattern.exec(name)![2]) }));
  } catch (cause) {
    throw new CupelError(`not a whole zip archive: ${(cause as Error).message}`, { place: { file: archive }, cause });
  }
}

const subjectIn = (part: string): string => part.replace(/[_/-]+$/, '');

function matching(folder: string, path: string): Found[] {
  const found = filesMatching(folder, path);
  return found.map(({ file, subject }) => ({ file, subject, bytes: readFileSync(file) }));
}

function filesMatching(folder: string, path: string): { file: string; subject?: string }[] {
  if (!path.includes('*')) return existsSync(join(folder, path)) ? [{ file: join(folder, path) }] : [];
  const pattern = patternOf(path);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => ({ file: join(folder, name), found: pattern.exec(name.replaceAll('\\', '/')) }))
    .filter(({ file, found }) => found && statSync(file).isFile())
    .sort((a, b) => (a.file < b.file ? -1 : 1))
    .map(({ file, found }) => ({ file, subject: subjectIn(found![1]) }));
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

async function rowsOf(
  file: string,
  bytes: Uint8Array,
  member: string | undefined,
  columns?: readonly string[],
): Promise<Row[]> {
  const name = basename(file).toLowerCase();
  if (name.endsWith('.parquet')) return placed(await parquetRows(bytes, file), file);
  const text = Buffer.from(bytes)
    .toString('utf8')
    .replace(/^\uFEFF/, '');
  if (name.endsWith('.jsonl')) return lineRows(text, file);
  if (name.endsWith('.json')) return placed(jsonRows(text, file, member, columns), file);
  return tableRows(parseTable(text, name.endsWith('.tsv') ? '\t' : ',', file), file, columns);
}

function placed(rows: readonly unknown[], file: string): Row[] {
  return rows.map((row, i) => rowAt(row, { file, line: i + 1 }));
}

function rowAt(value: unknown, place: ErrorPlace): Row {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return { ...value, [PLACE]: place };
  throw new CupelError('not an item', { place, remedy: 'write one JSON object for each item', exitCode: 2 });
}

function lineRows(text: string, file: string): Row[] {
  return text.split('\n').flatMap((line, i) => {
    const place = { file, line: i + 1 };
    return line.trim() === '' ? [] : [rowAt(parsed(line, place), place)];
  });
}

function parsed(text: string, place: ErrorPlace): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CupelError(`not JSON: ${(cause as Error).message}`, { place, exitCode: 2, cause });
  }
}

async function parquetRows(bytes: Uint8Array, file: string): Promise<Row[]> {
  try {
    return await readParquet(bytes);
  } catch (cause) {
    throw new CupelError(`not a whole Parquet file: ${(cause as Error).message}`, {
      place: { file },
      remedy: 'fetch it again',
      exitCode: 2,
      cause,
    });
  }
}

async function readParquet(bytes: Uint8Array): Promise<Row[]> {
  const { parquetMetadataAsync, parquetReadObjects } = await import('hyparquet');
  const file = new Uint8Array(bytes).buffer;
  const metadata = await parquetMetadataAsync(file);
  const rows = await parquetReadObjects({
    file,
    metadata,
    compressors: {
      GZIP: (bytes: Uint8Array) => new Uint8Array(gunzipSync(bytes)),
      BROTLI: (bytes: Uint8Array) => new Uint8Array(brotliDecompressSync(bytes)),
    },
  });
  // 64-bit integers are labels and counts, which fit a number
  const plain: Row[] = JSON.parse(
    JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)),
  );
  return named(plain, metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value);
}

/** The hub writes classes as numbers and says their names in the metadata: 11 becomes `card_arrival`. */
function named(rows: Row[], metadata: string | undefined): Row[] {
  if (!metadata) return rows;
  const { info } = JSON.parse(metadata) as { info?: { features?: Record<string, { names?: string[] }> } };
  const classes = Object.entries(info?.features ?? {}).filter(([, feature]) => Array.isArray(feature?.names));
  return rows.map((row) => {
    const names = classes.map(([column, feature]) => [column, feature.names![row[column] as number] ?? row[column]]);
    return { ...row, ...Object.fromEntries(names) };
  });
}

function jsonRows(text: string, file: string, member: string | undefined, columns?: readonly string[]): unknown[] {
  const document = parsed(text, { file });
  const list = member === undefined ? document : (document as Row | null)?.[member];
  if (!Array.isArray(list)) {
    throw new CupelError('no list of items is in this JSON file', { place: { file, field: member }, exitCode: 2 });
  }
  return list.map((row: unknown) =>
    Array.isArray(row) ? Object.fromEntries(row.map((value, i) => [columns?.[i] ?? String(i), value])) : row,
  );
}

/** With names for the columns the file has no header, unless it has just these. */
function tableRows(table: TableLine[], file: string, columns?: readonly string[]): Row[] {
  const plain = (names: readonly string[] = []) => names.map((name) => name.trim().toLowerCase()).join();
  const headed = columns === undefined || plain(table[0]?.cells) === plain(columns);
  const names = (headed ? table[0]?.cells : columns) ?? [];
  return table
    .slice(headed ? 1 : 0)
    .filter(({ cells }) => cells.length > 1 || cells[0] !== '')
    .map(({ cells, line }) => {
      const place = { file, line };
      if (cells.length === names.length)
        return rowAt(Object.fromEntries(names.map((name, i) => [name, cells[i]])), place);
      throw new CupelError(`${cells.length} cells, where ${names.length} are wanted: ${names.join(', ')}`, {
        place,
        remedy: 'put quotes around cells that hold separators, and leave none out',
        exitCode: 2,
      });
    });
}

interface TableLine {
  cells: string[];
  /** That it begins on, from 1. */
  line: number;
}

/** RFC 4180: quoted cells may hold separators, line breaks and doubled quotes. @throws CupelError for a quote never closed */
export function parseTable(text: string, separator: string, file?: string): TableLine[] {
  const rows: TableLine[] = [];
  const row: string[] = [];
  let cell = '';
  let quoted = 0;
  let line = 1;
  let from = 1;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '\n') line++;
    if (quoted > 0) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = 0;
    } else if (character === '"' && cell === '') quoted = line;
    else if (character === separator || character === '\n') {
      row.push(character === '\n' ? cell.replace(/\r$/, '') : cell);
      cell = '';
      if (character !== '\n') continue;
      rows.push({ cells: row.splice(0), line: from });
      from = line;
    } else cell += character;
  }
  if (quoted > 0) {
    throw new CupelError('a quote is opened here and never closed', {
      place: { file, line: quoted },
      remedy: 'close it; a quote within a quoted cell is written twice',
      exitCode: 2,
    });
  }
  if (cell !== '' || row.length > 0) rows.push({ cells: [...row, cell], line: from });
  return rows;
}
