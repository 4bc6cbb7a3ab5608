// Records that the database refused, as lines of a file; what removes exchanges removes them here too.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../../base/durable.ts';
import type { JournalRecord } from '../journal/line.ts';
import type { ExchangeFilter } from './store.ts';

const FILE = 'rejected.jsonl';

export function setAside(folder: string, record: JournalRecord): void {
  appendFileSync(join(folder, FILE), `${JSON.stringify(record)}\n`);
}

/** Removes the records that a filter names; a line that cannot be read stays. @returns how many went */
export function removeSetAside(folder: string, filter: ExchangeFilter): number {
  const path = join(folder, FILE);
  if (!existsSync(path)) return 0;
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  const kept = lines.filter((line) => !matches(line, filter));
  if (kept.length === lines.length) return 0;
  writeFileDurably(path, kept.map((line) => `${line}\n`).join(''));
  return lines.length - kept.length;
}

interface Row {
  at?: unknown;
  model?: unknown;
  user_id?: unknown;
  tags?: Record<string, unknown> | null;
  outcome?: unknown;
}

function matches(line: string, { since, until, model, user, tags = {}, complete }: ExchangeFilter): boolean {
  const row = rowOf(line);
  if (!row) return false;
  const at = typeof row.at === 'string' ? row.at : undefined;
  return (
    (since === undefined || (at !== undefined && at >= since)) &&
    (until === undefined || (at !== undefined && at < until)) &&
    (model === undefined || row.model === model) &&
    (user === undefined || row.user_id === user) &&
    Object.entries(tags).every(([name, value]) => row.tags?.[name] === value) &&
    (complete !== true || row.outcome === 'complete')
  );
}

function rowOf(line: string): Row | null {
  try {
    return JSON.parse((JSON.parse(line) as JournalRecord).json) as Row;
  } catch {
    return null;
  }
}
