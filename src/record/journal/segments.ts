// The journal's files: numbered segments in one folder, and how far the store has taken them over.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Everything before `offset` of `segment`, and all of the segments before it, is in the store. */
export interface Cursor {
  segment: number;
  offset: number;
}

export function segmentPath(folder: string, segment: number): string {
  return join(folder, `${String(segment).padStart(12, '0')}.log`);
}

/** Numbers of the segments on disk, oldest first. */
export function listSegments(folder: string): number[] {
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder)
    .filter((name) => /^\d{12}\.log$/.test(name))
    .map((name) => Number(name.slice(0, 12)))
    .sort((a, b) => a - b);
}

export function segmentBytes(folder: string): number {
  return listSegments(folder).reduce((sum, segment) => sum + sizeOf(segmentPath(folder, segment)), 0);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

const CURSOR = 'cursor.json';

export function readCursor(folder: string): Cursor {
  const file = join(folder, CURSOR);
  if (!existsSync(file)) return { segment: 0, offset: 0 };
  try {
    const { segment, offset } = JSON.parse(readFileSync(file, 'utf8')) as Cursor;
    return { segment, offset };
  } catch {
    // a lost cursor only means that rows are offered again, and the store knows them by their id
    return { segment: 0, offset: 0 };
  }
}

/** Replaces the cursor and drops the segments that it has passed. Not synced: an old cursor does no harm. */
export function saveCursor(folder: string, cursor: Cursor): void {
  const temporary = join(folder, `${CURSOR}.tmp`);
  writeFileSync(temporary, JSON.stringify(cursor));
  renameSync(temporary, join(folder, CURSOR));
  for (const segment of listSegments(folder)) {
    if (segment < cursor.segment) rmSync(segmentPath(folder, segment), { force: true });
  }
}
