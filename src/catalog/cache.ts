// The cache of fetched models: which files are known to be whole, and one process at a time for each model.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileDurably } from '../base/durable.ts';
import { sha256File } from '../base/hash.ts';

const STAMPS = '.verified.json';

interface Stamp {
  bytes: number;
  modified: number;
  sha256: string;
}

/** The SHA-256 of a file in a model's folder; computed once, then known by size and time of change. */
export async function verifiedHash(folder: string, name: string): Promise<string> {
  const { size: bytes, mtimeMs: modified } = statSync(join(folder, name));
  const stamp = readStamps(folder)[name];
  if (stamp?.bytes === bytes && stamp.modified === modified) return stamp.sha256;
  const sha256 = await sha256File(join(folder, name));
  const stamps = { ...readStamps(folder), [name]: { bytes, modified, sha256 } };
  try {
    writeFileDurably(join(folder, STAMPS), JSON.stringify(stamps));
  } catch (error) {
    // a folder that may only be read: then files are hashed each time
    if (!['EACCES', 'EROFS', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  return sha256;
}

function readStamps(folder: string): Record<string, Stamp> {
  try {
    return JSON.parse(readFileSync(join(folder, STAMPS), 'utf8'));
  } catch {
    // none yet, or damaged: then files are hashed again
    return {};
  }
}

/** Runs `work` while no other process does so for this folder; waits for one that does. */
export async function alone<T>(
  folder: string,
  onWait: () => void,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, '.lock');
  for (let waited = false; !take(file); waited = true) {
    if (!waited) onWait();
    await sleep(waited ? 500 : 20, undefined, { signal });
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file: string): boolean {
  try {
    const fd = openSync(file, 'wx');
    writeSync(fd, String(process.pid));
    closeSync(fd);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (isStale(file)) rmSync(file, { force: true });
    return false;
  }
}

/** Left by a process that is gone. An empty file was made this instant, or by a process that died in that instant. */
function isStale(file: string): boolean {
  if (!existsSync(file)) return false;
  const holder = Number(readFileSync(file, 'utf8'));
  if (!holder) return Date.now() - statSync(file).mtimeMs > 5_000;
  try {
    process.kill(holder, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EPERM';
  }
}
