// How often a test split was looked at: each evaluation on it is one more chance to pick a lucky student.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { hashJson } from '../base/hash.ts';
import type { Example } from '../chat/messages.ts';

interface Look {
  /** Hash of the test split's conversations. */
  test: string;
  /** The evaluation, by its folder's name. */
  by: string;
  at: string;
}

/** Hash of what is asked and answered, whatever file or order it came in. */
export function testHash(test: readonly Example[]): string {
  return hashJson(test.map(({ messages, reference }) => hashJson({ messages, reference })).sort());
}

/** Notes this look in `file` (JSON lines, one for all of a workspace) and returns how many there are, this one included. */
export function countLook(file: string, test: readonly Example[], folder: string): number {
  const look: Look = {
    test: testHash(test),
    by: basename(folder).replace(/\.partial$/, ''),
    at: new Date().toISOString(),
  };
  const known = readLooks(file).filter((one) => one.test === look.test);
  const others = new Set(known.map((one) => one.by));
  if (!others.has(look.by)) append(file, look);
  return others.add(look.by).size;
}

function readLooks(file: string): Look[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Look];
      } catch {
        // the last line of a killed run
        return [];
      }
    });
}

function append(file: string, look: Look): void {
  const fd = openSync(file, 'a');
  try {
    // a line of its own, even after half a line
    writeSync(fd, `\n${JSON.stringify(look)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
