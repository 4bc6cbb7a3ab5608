// Rotary position embeddings: frequencies from a config, and the tables of cosines and sines that graphs read.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import type { ConfigFields } from './config-fields.ts';

/** How frequencies are stretched for contexts longer than the original. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalPositions: number;
    }
  | {
      /** Peng et al., 2023 */
      readonly type: 'yarn';
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalPositions: number;
      /** Bounds of the blend are whole numbers. */
      readonly truncate: boolean;
      /** Cosines and sines are multiplied by it, so scores by its square. */
      readonly attentionFactor: number;
    };

export interface Rope {
  readonly theta: number;
  /** d, the width of a head that turns. */
  readonly width: number;
  readonly scaling: RopeScaling;
}

/** Reads `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before). */
export function parseRope(config: ConfigFields, width: number): Rope {
  const parameters = config.has('rope_parameters') ? config.object('rope_parameters') : null;
  const scaling = parameters ?? (config.has('rope_scaling') ? config.object('rope_scaling') : null);
  const theta = parameters?.has('rope_theta')
    ? parameters.positive('rope_theta')
    : config.positive('rope_theta', 10000);
  return { theta, width, scaling: scaling ? parseScaling(scaling) : { type: 'default' } };
}

function parseScaling(fields: ConfigFields): RopeScaling {
  const name = fields.has('rope_type') ? 'rope_type' : 'type';
  const type = fields.oneOf(name, ['default', 'linear', 'llama3', 'yarn'], 'default');
  if (type === 'default') return { type };
  if (type === 'yarn') return parseYarn(fields);
  const factor = fields.positive('factor');
  if (type === 'linear') return { type, factor };
  return {
    type,
    factor,
    lowFrequencyFactor: fields.positive('low_freq_factor'),
    highFrequencyFactor: fields.positive('high_freq_factor'),
    originalPositions: fields.count('original_max_position_embeddings'),
  };
}

function parseYarn(fields: ConfigFields): RopeScaling {
  const factor = fields.positive('factor');
  const [own, all] = [fields.nonNegative('mscale', 0), fields.nonNegative('mscale_all_dim', 0)];
  const sharpening = own && all ? yarnSharpening(factor, own) / yarnSharpening(factor, all) : yarnSharpening(factor);
  return {
    type: 'yarn',
    factor,
    betaFast: fields.positive('beta_fast', 32),
    betaSlow: fields.positive('beta_slow', 1),
    originalPositions: fields.count('original_max_position_embeddings'),
    truncate: fields.flag('truncate', true),
    attentionFactor: fields.positive('attention_factor', sharpening),
  };
}

/** How much longer contexts sharpen attention: 0.1 m ln(factor) + 1. */
export function yarnSharpening(factor: number, m = 1): number {
  return factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
}

/** The d/2 angles per position, in radians. */
export function ropeFrequencies(rope: Rope): number[] {
  const { theta, width, scaling } = rope;
  return Array.from({ length: width / 2 }, (_, i) => {
    const frequency = theta ** ((-2 * i) / width);
    return scaling.type === 'yarn' ? stretchYarn(frequency, i, rope, scaling) : stretch(frequency, scaling);
  });
}

type Yarn = Extract<RopeScaling, { type: 'yarn' }>;

/** Features that turn more than `betaFast` times in the original length keep their frequency, those below `betaSlow` are stretched. */
function stretchYarn(frequency: number, index: number, { theta, width }: Rope, scaling: Yarn): number {
  const featureOf = (turns: number) =>
    (width * Math.log(scaling.originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const whole = (x: number, round: (x: number) => number) => (scaling.truncate ? round(x) : x);
  const low = Math.max(whole(featureOf(scaling.betaFast), Math.floor), 0);
  const high = Math.min(whole(featureOf(scaling.betaSlow), Math.ceil), width - 1);
  const stretched = Math.min(1, Math.max(0, (index - low) / (low === high ? 0.001 : high - low)));
  return stretched * (frequency / scaling.factor) + (1 - stretched) * frequency;
}

function stretch(frequency: number, scaling: Exclude<RopeScaling, Yarn>): number {
  if (scaling.type === 'default') return frequency;
  if (scaling.type === 'linear') return frequency / scaling.factor;
  // Llama 3.1: long waves are stretched, short ones kept, those between are blended
  const turns = (scaling.originalPositions * frequency) / (2 * Math.PI);
  const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return (1 - kept) * (frequency / scaling.factor) + kept * frequency;
}

/**
 * The tables cos and sin [P, d/2] as constants called `name.cos` and `name.sin`, P being at least `maxPositions`, and at least the
 * width S of `positions` [B,S]: ONNX Runtime refuses tables with fewer rows than a packed batch has tokens, whatever their positions.
 */
export function ropeTables(
  b: Builder,
  name: string,
  rope: Rope,
  maxPositions: number,
  positions: Value,
): { cos: Value; sin: Value } {
  const frequencies = ropeFrequencies(rope);
  const width = positions.shape[1];
  const rows = typeof width === 'number' ? Math.max(maxPositions, width) : maxPositions;
  const table = (f: (angle: number) => number) => () => {
    const half = frequencies.length;
    const by = rope.scaling.type === 'yarn' ? rope.scaling.attentionFactor : 1;
    return Float32Array.from({ length: rows * half }, (_, i) => by * f(Math.floor(i / half) * frequencies[i % half]));
  };
  const shape = [rows, frequencies.length];
  return {
    cos: b.constant(`${name}.cos`, 'float32', shape, table(Math.cos)),
    sin: b.constant(`${name}.sin`, 'float32', shape, table(Math.sin)),
  };
}
