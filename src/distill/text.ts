// Plain text as samples: for continued pre-training, every token but the first of a piece is to be predicted.
import { readFileSync } from 'node:fs';
import { CupelError } from '../base/errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import type { Sample } from '../train/sample.ts';
import type { DistillOptions } from './options.ts';
import { type Material, withoutCalibration } from './samples.ts';

/**
 * The file, cut into pieces of `maxTokens` tokens.
 * @throws CupelError when it has not two pieces of two tokens
 */
export function readText(
  path: string,
  { tokenizer }: Pick<Checkpoint, 'tokenizer'>,
  { maxTokens, validationRows }: Pick<DistillOptions, 'maxTokens' | 'validationRows'>,
): Material {
  const ids = tokenizer.encode(readFileSync(path, 'utf8'));
  const samples: Sample[] = [];
  for (let at = 0; at + 1 < ids.length; at += maxTokens) {
    const piece = Int32Array.from(ids.slice(at, at + maxTokens));
    if (piece.length > 1) samples.push({ ids: piece, answers: [{ start: 1, end: piece.length }] });
  }
  if (samples.length < 2) {
    throw new CupelError(`the text has ${ids.length} tokens: too few for a piece to train on and one to validate`, {
      place: { file: path },
      remedy: `give a longer text, or lower --max-length (now ${maxTokens})`,
    });
  }
  const { train, validation } = withoutCalibration(samples);
  return { train, validation: validation.slice(0, validationRows), tooLong: [] };
}
