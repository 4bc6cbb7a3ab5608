// How sure a student is of an answer: signals from its own token probabilities, a calibrated probability, the file that keeps it.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { writeFileDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { canonicalJson } from '../base/hash.ts';
import { Signature } from '../base/signature.ts';

/** Of one answer, from the log probabilities of its tokens. */
export interface Signals {
  mean: number;
  least: number;
  /** Of the answer as a whole. */
  total: number;
  /** The answer ended by itself. */
  complete: boolean;
  /** Share of further answers, drawn at random, that say the same; undefined where none were drawn. */
  agreement?: number;
}

/** How further answers are drawn: loose enough to differ where the student doubts; the nth from seed n, so that they come again. */
export const AGREEMENT_TEMPERATURE = 0.7;

/** @param logprobs natural logarithms, one for each token */
export function signalsOf(logprobs: readonly number[], complete: boolean): Signals {
  const total = logprobs.reduce((sum, value) => sum + value, 0);
  return {
    mean: logprobs.length > 0 ? total / logprobs.length : 0,
    least: logprobs.reduce((a, b) => Math.min(a, b), 0),
    total,
    complete,
  };
}

/** A logistic model of "as good as the teacher's answer". */
export const Calibration = z.object({
  bias: z.number(),
  /** Of mean, least and total, and of the agreement where it is used. */
  weights: z.array(z.number()).min(3).max(4),
  /** Answers are JSON: one that is not has no confidence at all. */
  json: z.boolean(),
});
export type Calibration = z.infer<typeof Calibration>;

const LEAST_LOGPROB = -20;

/** What the logistic model sees. */
export function featuresOf({ mean, least, total, agreement }: Signals): number[] {
  const known = [mean, least, total].map((value) => Math.max(LEAST_LOGPROB, value));
  return agreement === undefined ? known : [...known, agreement];
}

/** Probability that the answer is as good as the teacher's; 0 for one that was cut off or is not JSON where it must be. */
export function confidenceOf(signals: Signals, text: string, { bias, weights, json }: Calibration): number {
  if (!signals.complete || (json && !isJson(text))) return 0;
  const features = featuresOf(signals);
  const score = weights.reduce((sum, weight, i) => sum + weight * (features[i] ?? 0), bias);
  return 1 / (1 + Math.exp(-score));
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The same answer: JSON counts by its content, text by its words. */
export function sameAnswer(a: string, b: string): boolean {
  return plain(a) === plain(b);
}

function plain(text: string): string {
  try {
    return canonicalJson(JSON.parse(text));
  } catch {
    return text.trim().replace(/\s+/g, ' ');
  }
}

/** Share of further answers that say the same as the first. */
export function agreementOf(first: string, others: readonly string[]): number {
  return others.filter((other) => sameAnswer(first, other)).length / Math.max(1, others.length);
}

const OperatingPoint = z.object({
  calibration: Calibration,
  /** From this confidence on the student answers; null: never, too little is known. */
  threshold: z.number().nullable(),
  /** On the test split, which the threshold has not seen. */
  test: z.object({ local: z.number(), ratio: z.number(), lower95: z.number(), n: z.number() }),
});

/** What `serve --teacher` needs to know of a model: written by `evaluate --cascade` beside it. */
const CascadeFile = OperatingPoint.extend({
  format: z.literal(1),
  /** sha256 of the model's file. */
  model: z.string(),
  /** Test items that the model saw in training; files of earlier versions do not say. */
  leaked: z.number().optional(),
  /** Ed25519, over all else: `serve` lets the student answer without a proof of its own only if it holds. */
  signature: Signature.optional(),
  /** With so many further answers drawn for each request. */
  agreement: OperatingPoint.extend({ samples: z.number().int().positive() }).optional(),
});
export type CascadeFile = z.infer<typeof CascadeFile>;

export const cascadeFileOf = (model: string): string => `${model}.cascade.json`;

export function writeCascade(model: string, content: CascadeFile): void {
  writeFileDurably(cascadeFileOf(model), `${JSON.stringify(content, null, 2)}\n`);
}

/** @throws CupelError when there is none, it cannot be read, or it is of another file */
export function readCascade(model: string, sha256: string): CascadeFile {
  const file = cascadeFileOf(model);
  const remedy = 'make one: cupel evaluate MODEL DATASET --cascade';
  if (!existsSync(file)) throw new CupelError('the model has no calibrated confidence', { place: { file }, remedy });
  const parsed = CascadeFile.safeParse(isJson(readFileSync(file, 'utf8')) && JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new CupelError('not a cascade file', { place: { file }, remedy });
  if (parsed.data.model === sha256) return parsed.data;
  throw new CupelError('the calibrated confidence is of another model file', {
    place: { file, field: 'model' },
    remedy,
  });
}
