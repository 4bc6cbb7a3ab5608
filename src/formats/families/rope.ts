// Rotary positions: their settings in config.json (old and new spelling) and in GGUF.
import { CupelError } from '../../base/errors.ts';
import { dequantize } from '../dequantize.ts';
import type { Gguf } from '../gguf.ts';
import { numberAt, stringAt } from '../gguf-values.ts';
import type { ConfigJson } from '../weights.ts';
import { headSize, tidy } from './config-values.ts';
import type { Computed, MetadataEntries } from './family.ts';

/** `rope_type` is default, linear, yarn or llama3; further numbers under their Hugging Face names. */
export interface RopeSettings {
  theta: number;
  type: string;
  [setting: string]: unknown;
}

/** Reads `rope_parameters` (transformers 5) or `rope_theta` with `rope_scaling` (before). */
export function ropeOf(config: ConfigJson, fallbackTheta = 10_000): RopeSettings {
  const nested = (config.rope_parameters ?? {}) as Record<string, unknown>;
  const parameters = (nested.full_attention ?? nested) as Record<string, unknown>;
  const {
    rope_theta: theta,
    rope_type: type,
    type: oldType,
    ...rest
  } = {
    ...((config.rope_scaling ?? {}) as Record<string, unknown>),
    ...parameters,
  };
  return {
    ...rest,
    theta: Number(theta ?? config.rope_theta ?? fallbackTheta),
    type: String(type ?? oldType ?? 'default'),
  };
}

/** Keys of a scaled rotary embedding. Llama 3's scaling is a tensor instead: `llama3Factors`. */
export function ropeMetadata(architecture: string, config: ConfigJson): MetadataEntries {
  const rope = ropeOf(config);
  const key = (name: string) => `${architecture}.rope.${name}`;
  const entries: MetadataEntries = [[key('freq_base'), { type: 'f32', value: rope.theta }]];
  if (rope.type === 'default' || rope.type === 'llama3') return entries;
  if (rope.type !== 'linear' && rope.type !== 'yarn') {
    throw new CupelError(`rotary positions of type "${rope.type}" cannot be written to GGUF`, {
      place: { file: 'config.json', field: 'rope_scaling' },
    });
  }
  entries.push([key('scaling.type'), { type: 'string', value: rope.type }]);
  // llama.cpp multiplies by YaRN's own factor, Hugging Face's attention_factor replaces it
  if (rope.type === 'yarn' && typeof rope.attention_factor === 'number') {
    const value = rope.attention_factor / yarnFactor(Number(rope.factor));
    entries.push([key('scaling.attn_factor'), { type: 'f32', value }]);
  }
  const floats = {
    factor: 'factor',
    beta_fast: 'yarn_beta_fast',
    beta_slow: 'yarn_beta_slow',
  };
  for (const [field, name] of Object.entries(floats)) {
    if (typeof rope[field] === 'number') entries.push([key(`scaling.${name}`), { type: 'f32', value: rope[field] }]);
  }
  const original = rope.original_max_position_embeddings;
  if (typeof original === 'number') {
    entries.push([key('scaling.original_context_length'), { type: 'u32', value: original }]);
  }
  return entries;
}

/** `rope_theta` and `rope_scaling` of a GGUF file. */
export function ropeConfig(gguf: Gguf, architecture: string): ConfigJson {
  const number = (name: string) => {
    const value = numberAt(gguf.metadata, `${architecture}.rope.${name}`);
    return value === undefined ? undefined : tidy(value);
  };
  const theta = number('freq_base') ?? 10_000;
  const type = stringAt(gguf.metadata, `${architecture}.rope.scaling.type`) ?? 'none';
  if (type === 'none') return { rope_theta: theta, rope_scaling: llama3Scaling(gguf, theta, architecture) ?? null };
  const scaling = {
    rope_type: type,
    factor: number('scaling.factor'),
    attention_factor: attentionFactor(number('scaling.attn_factor'), number('scaling.factor')),
    beta_fast: number('scaling.yarn_beta_fast'),
    beta_slow: number('scaling.yarn_beta_slow'),
    original_max_position_embeddings: number('scaling.original_context_length'),
  };
  return { rope_theta: theta, rope_scaling: JSON.parse(JSON.stringify(scaling)) };
}

/** How much YaRN sharpens attention: 0.1 ln(factor) + 1. */
const yarnFactor = (factor: number): number => (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1);

function attentionFactor(stored: number | undefined, factor: number | undefined): number | undefined {
  return stored === undefined || stored === 1 ? undefined : tidy(stored * yarnFactor(factor ?? 1));
}

const FACTORS = 'rope_freqs.weight';

interface Llama3Scaling {
  rope_type: 'llama3';
  factor: number;
  low_freq_factor: number;
  high_freq_factor: number;
  original_max_position_embeddings: number;
}

/** The tensor by which GGUF carries Llama 3's scaling: a divisor for each frequency (Meta's reference, transformers' `llama3`). */
export function llama3Factors(config: ConfigJson): Computed[] {
  const rope = ropeOf(config);
  if (rope.type !== 'llama3') return [];
  const settings = {
    rope_type: 'llama3',
    factor: Number(rope.factor ?? 8),
    low_freq_factor: Number(rope.low_freq_factor ?? 1),
    high_freq_factor: Number(rope.high_freq_factor ?? 4),
    original_max_position_embeddings: Number(rope.original_max_position_embeddings ?? 8192),
  } as const;
  return [{ gguf: FACTORS, values: frequencyFactors(settings, rope.theta, headSize(config)) }];
}

function frequencyFactors(scaling: Llama3Scaling, theta: number, size: number): Float32Array {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return Float32Array.from({ length: size / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / size);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** Finds the settings that gave the factors in a file: Meta's constants, the largest factor, and the original length that fits. */
function llama3Scaling(gguf: Gguf, theta: number, architecture: string): Llama3Scaling | undefined {
  const tensor = gguf.tensors.get(FACTORS);
  if (!tensor) return undefined;
  const factors = dequantize(tensor.type, gguf.readRaw(FACTORS));
  const factor = tidy(factors.reduce((most, value) => Math.max(most, value), 1));
  for (const original of [8192, ...originalLengths(factors, factor, theta)]) {
    const scaling = { rope_type: 'llama3', factor, ...META, original_max_position_embeddings: original } as const;
    const again = frequencyFactors(scaling, theta, factors.length * 2);
    if (factors.every((value, i) => Math.abs(value - again[i]) <= 1e-4 * value)) return scaling;
  }
  throw new CupelError('its rotary frequency factors are not those of Llama 3', {
    place: { file: gguf.path, field: `${architecture}: ${FACTORS}` },
    remedy: 'use the Hugging Face folder of this model',
  });
}

const META = { low_freq_factor: 1, high_freq_factor: 4 } as const;

/** Each factor between 1 and the largest tells the original length: the blend of the two is linear in length / wavelength. */
function originalLengths(factors: Float32Array, factor: number, theta: number): number[] {
  const { low_freq_factor: low, high_freq_factor: high } = META;
  return [...factors].flatMap((value, i) => {
    if (value <= 1.0001 || value >= factor * 0.9999) return [];
    const smooth = (1 / value - 1 / factor) / (1 - 1 / factor);
    const wavelength = 2 * Math.PI * theta ** (i / factors.length);
    return [Math.round(wavelength * (smooth * (high - low) + low))];
  });
}
