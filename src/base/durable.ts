// Files that survive a crash: written under a temporary name, synced, then renamed.
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { CupelError } from './errors.ts';

/** A name beside `path` that no reader mistakes for the finished file. */
export function temporaryName(path: string): string {
  return `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
}

/** Syncs a file (or folder) to disk; folders cannot be synced on Windows and are skipped there. */
export function syncPath(path: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Replaces `path` atomically: readers see the old content or all of the new.
 * @throws CupelError when the disk is full (the old file is intact)
 */
export function writeFileDurably(path: string, data: string | Uint8Array): void {
  writeDurably(path, (write) => write(typeof data === 'string' ? Buffer.from(data) : data));
}

/** As `writeFileDurably`, for content produced piece by piece. */
export function writeDurably(path: string, produce: (write: (bytes: Uint8Array) => void) => void): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = temporaryName(path);
  const fd = openSync(temporary, 'wx');
  try {
    produce((bytes) => {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at);
    });
    fsyncSync(fd);
    closeSync(fd);
    renameSync(temporary, path);
    syncPath(dirname(path));
  } catch (error) {
    try {
      closeSync(fd);
    } catch {
      // already closed
    }
    rmSync(temporary, { force: true });
    throw diskError(error, path);
  }
}

/** Turns "no space left" into an error with a remedy; anything else passes through. */
export function diskError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new CupelError('the disk is full; what was there before is intact', {
    place: { file: path },
    remedy: 'free some space or choose another --workspace, then run the same command again',
    cause: error,
  });
}
