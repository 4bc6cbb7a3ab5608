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
  const type = fields.oneOf(name, ['default', 'linear', 'llama3'], 'default');
  if (type === 'default') return { type };
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

/** The d/2 angles per position, in radians. */
export function ropeFrequencies({ theta, width, scaling }: Rope): number[] {
  return Array.from({ length: width / 2 }, (_, i) => stretch(theta ** ((-2 * i) / width), scaling));
}

function stretch(frequency: number, scaling: RopeScaling): number {
  if (scaling.type === 'default') return frequency;
  if (scaling.type === 'linear') return frequency / scaling.factor;
  // Llama 3.1: long waves are stretched, short ones kept, those between are blended
  const turns = (scaling.originalPositions * frequency) / (2 * Math.PI);
  const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return (1 - kept) * (frequency / scaling.factor) + kept * frequency;
}

/** The tables cos and sin [positions, d/2] as constants called `name.cos` and `name.sin`. */
export function ropeTables(b: Builder, name: string, rope: Rope, positions: number): { cos: Value; sin: Value } {
  const frequencies = ropeFrequencies(rope);
  const table = (f: (angle: number) => number) => () => {
    const half = frequencies.length;
    return Float32Array.from({ length: positions * half }, (_, i) => f(Math.floor(i / half) * frequencies[i % half]));
  };
  const shape = [positions, frequencies.length];
  return {
    cos: b.constant(`${name}.cos`, 'float32', shape, table(Math.cos)),
    sin: b.constant(`${name}.sin`, 'float32', shape, table(Math.sin)),
  };
}
