// safetensors: what is written is read back, by whole tensors and by rows; damaged files and shard tricks are refused.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { openSafetensors } from './safetensors.ts';
import { openSafetensorsFolder } from './safetensors-folder.ts';
import { writeSafetensors } from './safetensors-write.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));

const values = Float32Array.from({ length: 12 }, (_, i) => (i - 5) / 4);
const tensor = (name: string, dtype: 'F32' | 'F16' | 'BF16') => ({ name, dtype, shape: [4, 3], read: () => values });

it('reads back what it wrote in each type', () => {
  const path = join(folder, 'all.safetensors');
  writeSafetensors(path, [tensor('a', 'F32'), tensor('b', 'F16'), tensor('c', 'BF16')], { format: 'pt', by: 'me' });
  const file = openSafetensors(path);
  expect(file.metadata).toEqual({ format: 'pt', by: 'me' });
  for (const name of ['a', 'b', 'c']) {
    expect([...file.read(name)]).toEqual([...values]);
    expect([...file.readRows(name, 1, 2)]).toEqual([...values.slice(3, 9)]);
  }
  file.close();
});

function craft(header: unknown, data = 64): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(folder, 'crafted.safetensors');
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(data)]));
  return path;
}
const entry = (from: number, to: number, shape: unknown = [(to - from) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [from, to],
});

it.each([
  ['overlap', { a: entry(0, 8), b: entry(4, 12) }, /overlaps/],
  ['beyond the end', { a: entry(0, 128) }, /beyond the end/],
  ['a shape that does not fit', { a: entry(0, 8, [3]) }, /shape that needs 12/],
  ['a negative size', { a: entry(0, 8, [-2]) }, /not a list of sizes/],
  ['an absurd size', { a: entry(0, 8, [2 ** 40, 2 ** 40]) }, /shape that needs/],
  ['an unknown type', { a: entry(0, 8, [2], '__proto__') }, /is not known/],
  ['offsets the wrong way', { a: entry(8, 0, [2]) }, /no range/],
  ['a header that is a list', [], /not a JSON object/],
  ['a header that is no JSON', '{"a": ', /not JSON/],
])('refuses %s', (_, header, message) => {
  expect(() => openSafetensors(craft(header))).toThrow(message);
});

it('refuses a header length beyond the file without reading it', () => {
  const path = join(folder, 'long.safetensors');
  writeFileSync(path, Buffer.from('ffffffffffffff7f7b7d', 'hex'));
  expect(() => openSafetensors(path)).toThrow(/does not fit/);
});

it('reads shards under an index, and refuses shard names that leave the folder', () => {
  const home = mkdtempSync(join(folder, 'sharded-'));
  writeSafetensors(join(home, 'x-1.safetensors'), [tensor('a', 'F32')]);
  writeSafetensors(join(home, 'x-2.safetensors'), [tensor('b', 'F32')]);
  const index = (map: unknown) => writeFileSync(join(home, 'model.safetensors.index.json'), JSON.stringify(map));
  index({ weight_map: { a: 'x-1.safetensors', b: 'x-2.safetensors' } });
  const source = openSafetensorsFolder(home);
  expect([...source.names()].sort()).toEqual(['a', 'b']);
  expect([...source.read('b')]).toEqual([...values]);
  source.close();
  for (const name of ['../x-1.safetensors', '/etc/x.safetensors', 'a\\b.safetensors', 'x-1.bin', 7]) {
    index({ weight_map: { a: name } });
    expect(() => openSafetensorsFolder(home)).toThrow(/not the name/);
  }
  index({ weight_map: [] });
  expect(() => openSafetensorsFolder(home)).toThrow(/weight_map/);
});

it('refuses pickles and says what to do', () => {
  const home = mkdtempSync(join(folder, 'pickle-'));
  writeFileSync(join(home, 'pytorch_model.bin'), 'x');
  expect(() => openSafetensorsFolder(home)).toThrow(/run code/);
});
