// Damages bytes in the ways that files are damaged, and in the ways that people damage them on purpose.
import type { Random } from '../../src/base/random.ts';

/** Numbers at which arithmetic on sizes, signs and limits goes wrong. */
const EXTREMES = [
  0n,
  1n,
  3n,
  127n,
  255n,
  65_536n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 40n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const TEXTS = [
  '__proto__',
  'constructor',
  '../../../etc/passwd',
  '/etc/passwd',
  '\0',
  '',
  '"',
  '{{',
  'NaN',
  '1e999',
  '-1',
  '[[[[[[[[',
];

/** A damaged copy. `header` is how many of the first bytes describe the rest: most damage goes there. */
export function mutate(random: Random, bytes: Uint8Array, header: number): Buffer {
  let damaged: Buffer = Buffer.from(bytes);
  for (let times = 1 + random.below(3); times > 0; times--) damaged = once(random, damaged, header);
  return damaged;
}

function once(random: Random, bytes: Buffer, header: number): Buffer {
  if (bytes.length < 16) return bytes;
  const at = random.below(Math.min(bytes.length - 8, random.below(5) > 0 ? header : bytes.length));
  switch (random.below(9)) {
    case 0:
      bytes[at] ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = random.below(256);
      return bytes;
    case 2:
      bytes.writeUInt32LE(Number(pick(random, EXTREMES) & 0xffffffffn), at);
      return bytes;
    case 3:
      bytes.writeBigUInt64LE(pick(random, EXTREMES), at);
      return bytes;
    case 4:
      return Buffer.from(bytes.subarray(0, random.below(4) > 0 ? at : random.below(bytes.length)));
    case 5:
      // a piece is lost, and all that follows moves
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(64))]);
    case 6:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - random.below(200)))]);
    case 7:
      Buffer.from(pick(random, TEXTS)).copy(bytes, at);
      return bytes;
    default:
      bytes.copyWithin(at, random.below(header), random.below(header) + 32);
      return bytes;
  }
}

/** A damaged copy of JSON text: a value replaced by one of another type or size, a key renamed, or bytes damaged. */
export function mutateJson(random: Random, value: unknown): string {
  if (random.below(4) === 0) return mutate(random, Buffer.from(JSON.stringify(value)), 4096).toString('latin1');
  const copy = structuredClone(value);
  damageJson(random, copy as Record<string, unknown>);
  return JSON.stringify(copy);
}

const VALUES: readonly unknown[] = [
  null, true, -1, 0, 1, 0.5, 7, 1e9, 2 ** 31, 2 ** 53, 1e300, '', 'x', '../../x.safetensors', [], [1], {}, { rope_type: 'yarn' }, [[[]]], 'F64', 'I8',
]; // biome-ignore format: one list

function damageJson(random: Random, node: Record<string, unknown>): void {
  const keys = Object.keys(node);
  if (keys.length === 0) return;
  const key = pick(random, keys);
  const inner = node[key];
  if (inner !== null && typeof inner === 'object' && random.below(5) > 0) {
    damageJson(random, inner as Record<string, unknown>);
  } else if (random.below(6) === 0) {
    delete node[key];
    if (random.below(2) === 0) node[pick(random, TEXTS)] = inner;
  } else node[key] = pick(random, VALUES);
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)];
}
