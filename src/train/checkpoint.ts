// Checkpoints of a run: one file each, written atomically, verified when read, the newest few kept.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeDurably } from '../base/durable.ts';

/** What a checkpoint holds: plain JSON and named arrays of numbers. */
export interface Checkpoint<State> {
  readonly step: number;
  readonly state: State;
  readonly arrays: Readonly<Record<string, Float32Array>>;
}

interface Header {
  readonly format: 1;
  readonly step: number;
  readonly state: unknown;
  readonly arrays: readonly { readonly name: string; readonly length: number }[];
}

const MAGIC = 'cupel-checkpoint';
const DIGEST_BYTES = 32;

/**
 * Writes `step-N.ckpt` and deletes all but the newest `keep`.
 * @throws CupelError when the disk is full; earlier checkpoints are intact
 */
export function saveCheckpoint<State>(folder: string, checkpoint: Checkpoint<State>, keep: number): void {
  mkdirSync(folder, { recursive: true });
  const arrays = Object.entries(checkpoint.arrays);
  const header: Header = {
    format: 1,
    step: checkpoint.step,
    state: checkpoint.state,
    arrays: arrays.map(([name, data]) => ({ name, length: data.length })),
  };
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(text.length);
  const hash = createHash('sha256');
  writeDurably(join(folder, fileName(checkpoint.step)), (write) => {
    const add = (bytes: Uint8Array) => {
      hash.update(bytes);
      write(bytes);
    };
    add(Buffer.from(MAGIC));
    add(size);
    add(text);
    for (const [, data] of arrays) add(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    write(hash.digest());
  });
  for (const name of checkpointFiles(folder).slice(keep)) rmSync(join(folder, name), { force: true });
}

/** Forgets the checkpoint of a step, so that the one before it is the newest. */
export function dropCheckpoint(folder: string, step: number): void {
  rmSync(join(folder, fileName(step)), { force: true });
}

/** The newest checkpoint that is whole, or null. Damaged files are passed over. */
export function loadCheckpoint<State>(folder: string): Checkpoint<State> | null {
  for (const name of checkpointFiles(folder)) {
    const checkpoint = parse<State>(readWhole(join(folder, name)));
    if (checkpoint) return checkpoint;
  }
  return null;
}

/** Node reads and hashes less than 2 GiB at once; checkpoints of full training have more. */
const PIECE = 2 ** 30;

function readWhole(path: string): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.allocUnsafe(fstatSync(fd).size);
    for (let at = 0; at < bytes.length; ) {
      const count = readSync(fd, bytes, at, Math.min(PIECE, bytes.length - at), at);
      if (count === 0) return bytes.subarray(0, at);
      at += count;
    }
    return bytes;
  } finally {
    closeSync(fd);
  }
}

function parse<State>(bytes: Buffer): Checkpoint<State> | null {
  const start = MAGIC.length + 4;
  const end = bytes.length - DIGEST_BYTES;
  if (end < start || bytes.toString('utf8', 0, MAGIC.length) !== MAGIC) return null;
  const hash = createHash('sha256');
  for (let at = 0; at < end; at += PIECE) hash.update(bytes.subarray(at, Math.min(end, at + PIECE)));
  if (!hash.digest().equals(bytes.subarray(end))) return null;
  let at = start + bytes.readUInt32LE(MAGIC.length);
  const header = JSON.parse(bytes.toString('utf8', start, at)) as Header;
  const arrays: Record<string, Float32Array> = {};
  for (const { name, length } of header.arrays) {
    // copied: the bytes of an array need not be aligned within the file
    arrays[name] = new Float32Array(new Uint8Array(bytes.subarray(at, at + 4 * length)).buffer);
    at += 4 * length;
  }
  return { step: header.step, state: header.state as State, arrays };
}

function fileName(step: number): string {
  return `step-${String(step).padStart(8, '0')}.ckpt`;
}

/** Newest first. */
function checkpointFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^step-\d+\.ckpt$/.test(name))
    .sort()
    .reverse();
}
