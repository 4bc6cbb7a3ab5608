// Rows of benchmark data as they are published: JSON lines, JSON, CSV, TSV or Parquet files in a folder.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { type UnzipFileInfo, unzipSync } from 'fflate';
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
  if (existsSync(folder) && statSync(folder).isFile()) return rowsOf(folder, readFileSync(folder), undefined, columns);
  for (const pattern of patterns) {
    const [path, member] = pattern.split('#');
    const files = path.endsWith('.zip') ? zipped(join(folder, path), member) : matching(folder, path);
    if (files.length === 0) continue;
    const all = await Promise.all(
      files.map(async ({ file, bytes, subject }) =>
        (await rowsOf(file, bytes, path.endsWith('.zip') ? undefined : member, columns)).map((row) =>
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
  if (name.endsWith('.jsonl') && existsSync(file)) return readJsonl<Row>(file);
  if (name.endsWith('.parquet')) return parquetRows(bytes);
  const text = Buffer.from(bytes)
    .toString('utf8')
    .replace(/^\uFEFF/, '');
  if (name.endsWith('.json')) return jsonRows(text, file, member, columns);
  return tableRows(parseTable(text, name.endsWith('.tsv') ? '\t' : ','), columns);
}

async function parquetRows(bytes: Uint8Array): Promise<Row[]> {
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

/** With names for the columns the file has no header, unless it has just these. */
function tableRows(table: string[][], columns?: readonly string[]): Row[] {
  const plain = (names: readonly string[] = []) => names.map((name) => name.trim().toLowerCase()).join();
  const headed = columns === undefined || plain(table[0]) === plain(columns);
  const names = (headed ? table[0] : columns) ?? [];
  return table
    .slice(headed ? 1 : 0)
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
