// The journal: what is read back after torn, damaged and foreign lines, at its limit, and by readers that were interrupted.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { JournalReader } from './reader.ts';
import { listSegments, segmentPath } from './segments.ts';
import { JournalWriter } from './writer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cupel-journal-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const record = (n: number | string) => ({ kind: 'x' as const, json: JSON.stringify({ n, text: 'línea\n第二行' }) });
const LIMITS = { records: 3, bytes: 1000 };

/** Reads and commits until nothing comes any more. */
function readAll(reader: JournalReader, limits = LIMITS): { read: unknown[]; damaged: number } {
  const all = { read: [] as unknown[], damaged: 0 };
  for (let idle = 0; idle < 3; ) {
    const batch = reader.read(limits);
    all.read.push(...batch.records.map(({ json }) => JSON.parse(json).n));
    all.damaged += batch.damaged;
    reader.commit(batch);
    idle = batch.records.length === 0 ? idle + 1 : 0;
  }
  reader.close();
  return all;
}
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

test.each(['process', 'disk'] as const)(
  'what is appended (%s) is read back in order, over segments',
  async (durability) => {
    const writer = new JournalWriter({ folder, durability, segmentBytes: 400 });
    await Promise.all(numbers(40).map((n) => writer.append(record(n))));
    expect(listSegments(folder).length).toBeGreaterThan(4);
    expect(readAll(new JournalReader(folder))).toEqual({ read: numbers(40), damaged: 0 });
    // what is in the store is dropped from disk
    expect(listSegments(folder).length).toBe(1);
    await writer.close();
  },
);

test('a batch that was not committed is offered again', async () => {
  const writer = new JournalWriter({ folder, durability: 'process' });
  for (const n of numbers(5)) writer.append(record(n));
  const first = new JournalReader(folder);
  first.commit(first.read(LIMITS));
  first.read(LIMITS);
  // the process ends here; another one goes on
  expect(readAll(new JournalReader(folder)).read).toEqual([3, 4]);
  await writer.close();
});

test('a line torn by a crash is skipped, those around it are not', async () => {
  const writer = new JournalWriter({ folder, durability: 'process' });
  writer.append(record(0));
  await writer.close();
  const torn = readFileSync(segmentPath(folder, 1));
  appendFileSync(segmentPath(folder, 1), torn.subarray(0, torn.length - 7));
  const next = new JournalWriter({ folder, durability: 'process' });
  next.append(record(1));
  expect(readAll(new JournalReader(folder))).toEqual({ read: [0, 1], damaged: 1 });
  await next.close();
});

test('a damaged line is counted and not believed', async () => {
  const writer = new JournalWriter({ folder, durability: 'process' });
  for (const n of [0, 1, 2]) writer.append(record(n));
  const bytes = readFileSync(segmentPath(folder, 1));
  const at = bytes.indexOf('"n":1');
  bytes[at + 4] = '7'.charCodeAt(0);
  writeFileSync(segmentPath(folder, 1), bytes);
  expect(readAll(new JournalReader(folder))).toEqual({ read: [0, 2], damaged: 1 });
  await writer.close();
});

test('a record longer than a batch is read all the same', async () => {
  const writer = new JournalWriter({ folder, durability: 'process' });
  writer.append({ kind: 'x', json: JSON.stringify({ n: 0, text: 'x'.repeat(50_000) }) });
  writer.append(record(1));
  expect(readAll(new JournalReader(folder), { records: 10, bytes: 64 }).read).toEqual([0, 1]);
  await writer.close();
});

test('a full journal says so, and takes records again when the store has caught up', async () => {
  const writer = new JournalWriter({ folder, durability: 'process', segmentBytes: 500, limitBytes: 2000 });
  let taken = 0;
  expect(() => {
    for (; taken < 1000; taken++) writer.append(record(taken));
  }).toThrow(/journal is full/);
  expect(readAll(new JournalReader(folder)).read).toEqual(numbers(taken));
  writer.append(record('after'));
  expect(readAll(new JournalReader(folder)).read).toEqual(['after']);
  await writer.close();
});

test('a lost or broken cursor offers everything again', async () => {
  const writer = new JournalWriter({ folder, durability: 'process' });
  for (const n of numbers(4)) writer.append(record(n));
  readAll(new JournalReader(folder));
  writeFileSync(join(folder, 'cursor.json'), '{"segm');
  expect(readAll(new JournalReader(folder)).read).toEqual(numbers(4));
  await writer.close();
});
