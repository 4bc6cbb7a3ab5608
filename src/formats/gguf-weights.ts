// A GGUF file as weights under Hugging Face names: dequantised, with rows in Hugging Face order.
import { CupelError } from '../base/errors.ts';
import { dequantize } from './dequantize.ts';
import type { Link, TensorMap, Weave } from './families/family.ts';
import { GGML_TYPES } from './ggml-types.ts';
import type { Gguf } from './gguf.ts';
import { rowsFromInterleaved } from './rotary-rows.ts';
import { elementsOf, type WeightSource } from './weights.ts';

/** @throws CupelError when a tensor of the family is missing or has another shape than the metadata say */
export function ggufWeights(gguf: Gguf, map: TensorMap): WeightSource {
  const links = new Map<string, Link>();
  for (const link of map.links) {
    if (gguf.tensors.has(link.gguf)) links.set(link.hf, checked(gguf, link));
    else if (!link.optional) throw missing(gguf, link.gguf);
  }
  const weaves = new Map(map.weaves.filter((weave) => hasParts(gguf, weave)).map((weave) => [weave.hf, weave]));
  for (const { hf, parts } of map.weaves) if (!weaves.has(hf) && !links.has(hf)) throw missing(gguf, parts[0].gguf);
  const shape = (name: string) => links.get(name)?.shape ?? weaves.get(name)?.shape ?? missing(gguf, name, true);
  const readRows = (name: string, from: number, count: number): Float32Array => {
    const [rows, ...rest] = shape(name);
    if (!(from >= 0 && count >= 0 && from + count <= rows)) {
      throw new CupelError(`has no rows ${from} to ${from + count}`, { place: { file: gguf.path, field: name } });
    }
    const link = links.get(name);
    if (link?.interleave) return readInterleaved(gguf, link, from, count);
    if (link) return shifted(readLinkRows(gguf, link, from, count), link.shift);
    const whole = joined(gguf, weaves.get(name)!);
    const row = elementsOf(rest);
    return from === 0 && count === rows ? whole : whole.slice(from * row, (from + count) * row);
  };
  return {
    names: () => [...links.keys(), ...weaves.keys()],
    shape,
    read: (name) => readRows(name, 0, shape(name)[0]),
    readRows,
    close: () => gguf.close(),
  };
}

function readLinkRows(gguf: Gguf, link: Link, from: number, count: number): Float32Array {
  const tensor = gguf.tensors.get(link.gguf)!;
  const row = elementsOf(link.shape.slice(1));
  const first = from + (link.stack ? link.stack.index * link.shape[0] : 0);
  // a vector is one row of blocks; only F32 vectors occur, whose blocks are single values
  const { block, bytes } = GGML_TYPES[tensor.type];
  const perRow = (row / block) * bytes;
  return dequantize(tensor.type, gguf.readRange(link.gguf, first * perRow, count * perRow));
}

/** Rows in Hugging Face order: the heads that hold them are read whole. */
function readInterleaved(gguf: Gguf, link: Link, from: number, count: number): Float32Array {
  const size = link.shape[0] / link.interleave!.heads;
  const row = elementsOf(link.shape.slice(1));
  const first = Math.floor(from / size);
  const heads = Math.ceil((from + count) / size) - first;
  const values = readLinkRows(gguf, link, first * size, heads * size);
  const start = (from - first * size) * row;
  return rowsFromInterleaved(values, heads * size, heads).subarray(start, start + count * row);
}

function joined(gguf: Gguf, weave: Weave): Float32Array {
  return weave.join(weave.parts.map(({ gguf: name }) => dequantize(gguf.tensors.get(name)!.type, gguf.readRaw(name))));
}

function hasParts(gguf: Gguf, weave: Weave): boolean {
  if (!weave.parts.every((part) => gguf.tensors.has(part.gguf))) return false;
  for (const part of weave.parts) checkShape(gguf, part.gguf, part.shape);
  return true;
}

function shifted(values: Float32Array, shift = 0): Float32Array {
  if (shift !== 0) for (let i = 0; i < values.length; i++) values[i] -= shift;
  return values;
}

function checked(gguf: Gguf, link: Link): Link {
  checkShape(gguf, link.gguf, link.stack ? [link.stack.of, ...link.shape] : link.shape);
  return link;
}

function checkShape(gguf: Gguf, name: string, expected: readonly number[]): void {
  const stored = gguf.tensors.get(name)!.shape;
  if (stored.length === expected.length && stored.every((size, i) => size === expected[i])) return;
  throw new CupelError(`has shape [${stored}], but the metadata call for [${expected}]`, {
    place: { file: gguf.path, field: name },
    remedy: 'the file is damaged, or of a variant of this family that is not supported',
  });
}

function missing(gguf: Gguf, name: string, throws: true): never;
function missing(gguf: Gguf, name: string): CupelError;
function missing(gguf: Gguf, name: string, throws?: boolean): CupelError {
  const error = new CupelError('the file lacks this tensor', {
    place: { file: gguf.path, field: name },
    remedy: 'the file is incomplete, or of a variant of this family that is not supported',
  });
  if (throws) throw error;
  return error;
}
