// Files that are written are read back: every type of metadata, vocabularies of the largest models, tensors in pieces.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openGguf } from './gguf.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import { writeGguf } from './gguf-write.ts';

const home = mkdtempSync(join(tmpdir(), 'cupel-gguf-write-'));
afterAll(() => rmSync(home, { recursive: true }));

it('reads back what it wrote', () => {
  const metadata: GgufMetadata = new Map([
    ['u8', { type: 'u8', value: 255 }],
    ['i8', { type: 'i8', value: -128 }],
    ['u16', { type: 'u16', value: 65_535 }],
    ['i16', { type: 'i16', value: -32_768 }],
    ['u32', { type: 'u32', value: 0xffffffff }],
    ['i32', { type: 'i32', value: -1 }],
    ['u64', { type: 'u64', value: 2n ** 64n - 1n }],
    ['i64', { type: 'i64', value: -5 }],
    ['f32', { type: 'f32', value: 0.5 }],
    ['f64', { type: 'f64', value: 0.1 }],
    ['bool', { type: 'bool', value: true }],
    ['string', { type: 'string', value: '你好 🙂' }],
    ['empty', { type: 'array', items: 'string', value: [] }],
    ['flags', { type: 'array', items: 'bool', value: [true, false] }],
    // as many tokens as Gemma has
    ['tokens', { type: 'array', items: 'string', value: Array.from({ length: 262_144 }, (_, i) => `t${i}`) }],
  ]);
  const bytes = Uint8Array.from({ length: 96 }, (_, i) => i);
  const path = join(home, 'all.gguf');
  writeGguf(path, metadata, [
    { name: 'whole', type: 'F32', shape: [3, 8], read: () => bytes },
    { name: 'pieces', type: 'F32', shape: [24], read: () => [bytes.subarray(0, 40), bytes.subarray(40)] },
  ]);
  const file = openGguf(path);
  expect(file.metadata).toEqual(metadata);
  expect(file.tensors.get('whole')!.shape).toEqual([3, 8]);
  for (const name of ['whole', 'pieces']) expect([...file.readRaw(name)]).toEqual([...bytes]);
  file.close();
});

it('leaves nothing behind when a tensor turns out to have another size', () => {
  const path = join(home, 'short.gguf');
  const tensor = { name: 'a', type: 'F32' as const, shape: [4], read: () => new Uint8Array(12) };
  expect(() => writeGguf(path, new Map(), [tensor])).toThrow(/12 bytes, not 16/);
  expect(() => openGguf(path)).toThrow(/no such file/);
});
