// Feed-forward channels in blocks, of which a share takes part: smaller matrices, and the part of theta that belongs to them.
import { CupelError } from '../base/errors.ts';
import type { ModelConfig, WeightSource } from '../models/model.ts';
import { type Adapter, type LoraLayout, loraLayout } from './lora.ts';
import type { BaseModel } from './step-graph.ts';

/** Channels that are kept or left out together. */
const WIDEST_BLOCK = 64;
const FEWEST_BLOCKS = 4;
const NAME = /\.layers\.(\d+)\.mlp\.(gate_proj|up_proj|down_proj)(?:\.weight)?$/;

/** How the feed-forward channels of a model are divided. */
export interface Channels {
  readonly layers: number;
  /** Blocks of a layer, channels of a block. */
  readonly blocks: number;
  readonly size: number;
  /** Blocks that take part in each layer. */
  readonly kept: number;
}

/** For each layer, which blocks take part: `kept` of them, rising. */
export type Mask = readonly (readonly number[])[];

/**
 * @param density share of the channels that takes part
 * @throws CupelError for a model with experts, or with layers of different width
 */
export function channelsOf({ family, config }: BaseModel, density: number): Channels {
  const shapes = family.weightShapes(config);
  const widths = new Set(
    Array.from({ length: config.layers }, (_, layer) => shapes.get(`model.layers.${layer}.mlp.gate_proj.weight`)?.[0]),
  );
  const [width] = widths;
  if (widths.size !== 1 || width === undefined) {
    throw new CupelError(
      'feed-forward channels can only be left out where every layer has one dense block of equal width',
      {
        place: { field: '--ffn-density' },
        remedy: 'leave it out for models with experts',
        exitCode: 2,
      },
    );
  }
  let size = WIDEST_BLOCK;
  while (width % size !== 0 || width / size < FEWEST_BLOCKS) size /= 2;
  const blocks = width / size;
  return { layers: config.layers, blocks, size, kept: Math.max(1, Math.round(density * blocks)) };
}

interface Place {
  readonly layer: number;
  /** Channels are the rows of gate and up, and the columns of down. */
  readonly kind: 'rows' | 'columns';
}

/** Where the channels are in a tensor or module; undefined where there are none. */
function placeOf(name: string): Place | undefined {
  const found = name.match(NAME);
  return found ? { layer: Number(found[1]), kind: found[2] === 'down_proj' ? 'columns' : 'rows' } : undefined;
}

/** The model with the channels of a mask alone; its weights are read and cut when asked for. */
export function narrowModel(base: BaseModel, channels: Channels, mask: Mask): BaseModel {
  const { weights } = base;
  const config = { ...base.config, intermediateSize: channels.kept * channels.size } as ModelConfig;
  return { family: base.family, config, weights: narrowWeights(weights, channels, mask) };
}

function narrowWeights(weights: WeightSource, channels: Channels, mask: Mask): WeightSource {
  const { size, kept } = channels;
  const shape = (name: string): readonly number[] => {
    const whole = weights.shape(name);
    const place = placeOf(name);
    if (!place) return whole;
    return place.kind === 'rows' ? [kept * size, ...whole.slice(1)] : [whole[0], kept * size];
  };
  return {
    names: () => weights.names(),
    shape,
    read: (name) => {
      const values = weights.read(name);
      const place = placeOf(name);
      return place ? cut(values, weights.shape(name), place, mask[place.layer], size) : values;
    },
  };
}

function cut(
  values: Float32Array,
  shape: readonly number[],
  { kind }: Place,
  blocks: readonly number[],
  size: number,
): Float32Array {
  const [rows, columns = 1] = shape;
  const out = new Float32Array((values.length / (kind === 'rows' ? rows : columns)) * blocks.length * size);
  let at = 0;
  const take = (from: number, count: number) => {
    out.set(values.subarray(from, from + count), at);
    at += count;
  };
  if (kind === 'rows') for (const block of blocks) take(block * size * columns, size * columns);
  else for (let row = 0; row < rows; row++) for (const block of blocks) take(row * columns + block * size, size);
  return out;
}

/** Runs of theta, and where they stand in the theta of the narrow model. */
export interface NarrowTheta {
  readonly layout: LoraLayout;
  readonly runs: readonly { readonly whole: number; readonly narrow: number; readonly count: number }[];
}

export function narrowTheta(base: BaseModel, lora: LoraLayout, channels: Channels, mask: Mask): NarrowTheta {
  const narrow = narrowModel(base, channels, mask);
  const layout = loraLayout(narrow.family.weightShapes(narrow.config), lora.options);
  const { rank } = lora.options;
  const runs = lora.adapters.flatMap((whole, i) => adapterRuns(whole, layout.adapters[i], rank, channels, mask));
  return { layout, runs };
}

function adapterRuns(whole: Adapter, narrow: Adapter, rank: number, { size }: Channels, mask: Mask) {
  const place = placeOf(whole.module);
  const plain = (from: number, to: number, count: number) => [{ whole: from, narrow: to, count }];
  const cutRows = (from: number, to: number, width: number, blocks: readonly number[]) =>
    Array.from({ length: rank }, (_, r) =>
      blocks.map((block, i) => ({
        whole: from + r * width + block * size,
        narrow: to + (r * blocks.length + i) * size,
        count: size,
      })),
    ).flat();
  // A is [rank, in], B is [rank, out]: channels are columns of both
  const blocks = place && mask[place.layer];
  return [
    ...(blocks && place.kind === 'columns'
      ? cutRows(whole.a, narrow.a, whole.inputs, blocks)
      : plain(whole.a, narrow.a, rank * whole.inputs)),
    ...(blocks && place.kind === 'rows'
      ? cutRows(whole.b, narrow.b, whole.outputs, blocks)
      : plain(whole.b, narrow.b, rank * whole.outputs)),
  ];
}

export function gatherTheta({ layout, runs }: NarrowTheta, theta: Float32Array): Float32Array {
  const out = new Float32Array(layout.size);
  for (const { whole, narrow, count } of runs) out.set(theta.subarray(whole, whole + count), narrow);
  return out;
}

/** Writes a narrow gradient into one of the whole theta; what is left out stays as it is. */
export function scatterTheta({ runs }: NarrowTheta, narrowed: Float32Array, into: Float32Array): void {
  for (const { whole, narrow, count } of runs) into.set(narrowed.subarray(narrow, narrow + count), whole);
}
