// What a GGUF file of a model holds: each tensor's values in the file's own order, computed from weights under Hugging Face names.
import { CupelError } from '../base/errors.ts';
import type { Link, TensorMap, TensorRole, Weave } from './families/family.ts';
import { rowsToInterleaved } from './rotary-rows.ts';
import { elementsOf, type WeightSource } from './weights.ts';

export interface GgufPart {
  name: string;
  /** Row-major, slowest dimension first. */
  shape: readonly number[];
  role: TensorRole;
  /** All values, whole rows of a few million numbers at a time. */
  pieces(): Iterable<Float32Array>;
}

/** Numbers of one piece: bounds the memory of an export whatever the size of its tensors. */
const PIECE = 1 << 22;

/** Tensors that say nothing a config does not say. */
const REDUNDANT = /\.rotary_emb\.inv_freq$|\.(masked_)?bias_mask$/;

/**
 * @param tied the output is the embedding: an `lm_head.weight` beside it is a copy
 * @throws CupelError when a tensor of the family is missing or misshapen, or the model has one the family does not know
 */
export function ggufParts(map: TensorMap, weights: WeightSource, tied: boolean | undefined): GgufPart[] {
  const names = new Set(weights.names());
  if (tied) names.delete('lm_head.weight');
  const links = map.links.filter((link) => !link.legacy && isThere(names, link));
  const known = new Set([...links, ...map.weaves].map(({ hf }) => hf));
  for (const { hf, shape } of [...links, ...map.weaves]) checkShape(weights, hf, shape);
  if (tied === false && map.links.some(({ role }) => role === 'output') && !known.has('lm_head.weight')) {
    throw missing('lm_head.weight');
  }
  for (const name of names) if (!known.has(name) && !REDUNDANT.test(name)) throw unknown(name);
  const stacks = new Map<string, Link[]>();
  for (const link of links) {
    const stack = stacks.get(link.gguf);
    if (stack) stack.push(link);
    else stacks.set(link.gguf, [link]);
  }
  return [
    ...[...stacks.values()].map((stack) => stackPart(stack, weights)),
    ...map.weaves.flatMap((weave) => weaveParts(weave, weights)),
    ...map.computed.map(({ gguf, values }) => ({
      name: gguf,
      shape: [values.length],
      role: 'norm' as const,
      pieces: () => [values],
    })),
  ];
}

/** The whole rows of a tensor, a few million numbers at a time. `unit` rows stay together. */
export function* rowPieces(weights: WeightSource, name: string, unit = 1): Generator<Float32Array> {
  const [rows, ...rest] = weights.shape(name);
  const step = unit * Math.max(1, Math.floor(PIECE / (unit * elementsOf(rest))));
  for (let from = 0; from < rows; from += step) yield weights.readRows(name, from, Math.min(step, rows - from));
}

function stackPart(stack: Link[], weights: WeightSource): GgufPart {
  const [{ gguf, shape, role, stack: place }] = stack;
  return {
    name: gguf,
    shape: place ? [place.of, ...shape] : shape,
    role,
    *pieces() {
      for (const link of stack) yield* linkPieces(link, weights);
    },
  };
}

function* linkPieces({ hf, shape, interleave, shift }: Link, weights: WeightSource): Generator<Float32Array> {
  const size = interleave ? shape[0] / interleave.heads : 1;
  const row = elementsOf(shape.slice(1));
  for (const values of rowPieces(weights, hf, size)) {
    const rows = values.length / row;
    if (interleave) yield rowsToInterleaved(values, rows, rows / size);
    else yield shift ? values.map((value) => value + shift) : values;
  }
}

function weaveParts({ hf, role, parts }: Weave, weights: WeightSource): GgufPart[] {
  return parts.map(({ gguf, shape, cut }) => ({
    name: gguf,
    shape,
    role,
    pieces: () => [cut(weights.read(hf))],
  }));
}

function isThere(names: ReadonlySet<string>, { hf, optional }: Link): boolean {
  if (names.has(hf)) return true;
  if (optional) return false;
  throw missing(hf);
}

function checkShape(weights: WeightSource, name: string, expected: readonly number[]): void {
  const shape = weights.shape(name);
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  throw new CupelError(`has shape [${shape}], but the config calls for [${expected}]`, {
    place: { field: name },
    remedy: 'check that config.json belongs to these weights',
  });
}

function missing(name: string): CupelError {
  return new CupelError('the weights lack this tensor', {
    place: { field: name },
    remedy: 'fetch the model again, or check that config.json belongs to these weights',
  });
}

function unknown(name: string): CupelError {
  return new CupelError('GGUF has no place for this tensor of the model', {
    place: { field: name },
    remedy: 'this variant of the family is not supported; without the tensor the model would compute something else',
  });
}
