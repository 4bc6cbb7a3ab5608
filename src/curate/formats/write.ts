// Writes rows to a file: JSON lines as they come, Parquet in groups; a file is there when it is complete, or not at all.
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { diskError, syncPath, temporaryName } from '../../base/durable.ts';
import type { Json } from './convert.ts';

export type Container = 'jsonl' | 'parquet';

/** By the end of the name: `.parquet`, else JSON lines. */
export function containerOf(file: string): Container {
  return file.endsWith('.parquet') ? 'parquet' : 'jsonl';
}

/** Writes all rows; returns how many. @throws CupelError when the disk is full (no file is left behind) */
export async function writeRows(file: string, rows: AsyncIterable<Json>): Promise<number> {
  const path = resolve(file);
  mkdirSync(dirname(path), { recursive: true });
  const temporary = temporaryName(path);
  try {
    const count = await (containerOf(path) === 'parquet' ? writeParquet : writeJsonl)(temporary, rows);
    renameSync(temporary, path);
    syncPath(dirname(path));
    return count;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw diskError(error, path);
  }
}

async function writeJsonl(path: string, rows: AsyncIterable<Json>): Promise<number> {
  const fd = openSync(path, 'wx');
  let count = 0;
  try {
    for await (const row of rows) {
      const bytes = Buffer.from(`${JSON.stringify(row)}\n`);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at);
      count++;
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return count;
}

/** Text and numbers are columns of their own type; what has structure (messages, tools, usage, tags) is a JSON column. */
async function writeParquet(path: string, rows: AsyncIterable<Json>): Promise<number> {
  const { parquetWriteFile } = await import('hyparquet-writer');
  const all: Json[] = [];
  for await (const row of rows) all.push(row);
  const names = [...new Set(all.flatMap((row) => Object.keys(row)))];
  const columnData = names.map((name) => {
    const data = all.map((row) => row[name] ?? null);
    const type = typeOf(data);
    return { name, type, nullable: true, data: type === 'JSON' ? data.map(jsonOrNull) : data };
  });
  parquetWriteFile({ filename: path, columnData, rowGroupSize: [2000] });
  syncPath(path);
  return all.length;
}

function jsonOrNull(value: unknown): unknown {
  return value === null ? undefined : value;
}

function typeOf(data: readonly unknown[]): 'STRING' | 'DOUBLE' | 'BOOLEAN' | 'JSON' {
  const kinds = new Set(data.filter((value) => value !== null).map((value) => typeof value));
  if (kinds.size !== 1) return 'JSON';
  const [kind] = kinds;
  return kind === 'string' ? 'STRING' : kind === 'number' ? 'DOUBLE' : kind === 'boolean' ? 'BOOLEAN' : 'JSON';
}
