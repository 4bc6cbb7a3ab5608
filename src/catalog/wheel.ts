// Takes one member out of a wheel (a zip archive) without holding it in memory.
import { createReadStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { FileReader } from '../formats/file-reader.ts';

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** The end record and the longest comment after it. */
const TAIL = 22 + 65_535;
const STORED = 0;
const DEFLATED = 8;

interface Member {
  method: number;
  compressed: number;
  bytes: number;
  /** Where its local header begins. */
  header: number;
}

/**
 * The bytes of a member, as a stream that ends after exactly as many as the archive says.
 * @throws Error in one sentence when the archive is damaged or has no such member
 */
export function readWheelMember(path: string, name: string): Readable {
  const file = new FileReader(path);
  try {
    const member = findMember(file, name);
    const local = view(file, member.header, 30);
    if (local.readUInt32LE(0) !== LOCAL) throw new Error('the wheel is damaged: no header where one should be');
    const start = member.header + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
    if (start + member.compressed > file.size) throw new Error('the wheel is cut short');
    if (member.compressed === 0) return Readable.from([]);
    const raw = createReadStream(path, { start, end: start + member.compressed - 1, highWaterMark: 1 << 20 });
    if (member.method === STORED) return raw.pipe(exactly(member.bytes));
    if (member.method !== DEFLATED) throw new Error(`the wheel packs ${name} in a way that is not supported`);
    const inflate = createInflateRaw();
    const out = exactly(member.bytes);
    raw.on('error', (error) => out.destroy(error));
    inflate.on('error', (error) => out.destroy(new Error(`the wheel is damaged: ${error.message}`)));
    return raw.pipe(inflate).pipe(out);
  } finally {
    file.close();
  }
}

function findMember(file: FileReader, name: string): Member {
  const tail = view(file, Math.max(0, file.size - TAIL), Math.min(TAIL, file.size));
  const end = tail.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  if (end < 0 || end + 22 > tail.length || tail.readUInt32LE(end) !== END)
    throw new Error('the wheel is no zip archive');
  const length = tail.readUInt32LE(end + 12);
  const directory = view(file, tail.readUInt32LE(end + 16), length);
  for (let at = 0; at + 46 <= length; ) {
    if (directory.readUInt32LE(at) !== CENTRAL) throw new Error('the wheel is damaged: its directory is broken');
    const nameLength = directory.readUInt16LE(at + 28);
    if (directory.toString('utf8', at + 46, at + 46 + nameLength) === name) {
      return {
        method: directory.readUInt16LE(at + 10),
        compressed: directory.readUInt32LE(at + 20),
        bytes: directory.readUInt32LE(at + 24),
        header: directory.readUInt32LE(at + 42),
      };
    }
    at += 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  throw new Error(`the wheel has no ${name}`);
}

function view(file: FileReader, offset: number, count: number): Buffer {
  return Buffer.from(file.read(offset, count).buffer);
}

/** Passes bytes on and fails when there are more (a zip bomb) or fewer than announced. */
function exactly(bytes: number): Transform {
  let seen = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      if (seen > bytes) done(new Error(`the wheel holds more than the ${bytes} bytes it announces`));
      else done(null, chunk);
    },
    flush: (done) => done(seen === bytes ? null : new Error('the wheel is cut short')),
  });
}
