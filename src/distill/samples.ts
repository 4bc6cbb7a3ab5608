// The conversations of a dataset as token ids: those to train on, and those that choose the checkpoint.
import { join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { readJsonl } from '../base/jsonl.ts';
import type { Example } from '../chat/messages.ts';
import { trainingTemplate } from '../formats/base-template.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { toSamples } from '../train/examples.ts';
import type { Sample } from '../train/sample.ts';
import type { DistillOptions } from './options.ts';

export interface Material {
  train: readonly Sample[];
  validation: readonly Sample[];
  /** Lines, in the files that were imported, of conversations that are too long. */
  tooLong: number[];
}

/** Where there is no calibration split, every tenth sample validates. */
const HELD_OUT = 10;

/** @throws CupelError when the student has no chat template, or no conversation is short enough */
export async function readMaterial(
  dataset: string,
  student: Checkpoint,
  options: Pick<DistillOptions, 'maxTokens' | 'validationRows'>,
): Promise<Material> {
  const { tokenizer } = student;
  const chatTemplate = trainingTemplate(student);
  if (chatTemplate === undefined) {
    throw new CupelError('the student has no chat template', {
      place: { file: student.path },
      remedy: 'take an instruction-tuned model, such as smollm2-135m-instruct',
    });
  }
  const encode = (rows: readonly Example[]) => toSamples(rows, chatTemplate, tokenizer, options.maxTokens);
  const train = encode(await readJsonl<Example>(join(dataset, 'train.jsonl')));
  const calibration = encode(await readJsonl<Example>(join(dataset, 'calibration.jsonl')));
  const tooLong = [...train.tooLong, ...calibration.tooLong];
  const parts =
    calibration.samples.length > 0
      ? { train: train.samples, validation: calibration.samples }
      : withoutCalibration(train.samples);
  if (parts.train.length === 0 || parts.validation.length === 0) {
    throw new CupelError(`too few of the conversations have at most ${options.maxTokens} tokens`, {
      place: { file: join(dataset, 'train.jsonl'), field: 'maxTokens' },
      remedy: `${tooLong.length} were left out for their length: raise --max-length`,
    });
  }
  return { ...parts, validation: parts.validation.slice(0, options.validationRows), tooLong };
}

export function withoutCalibration(samples: readonly Sample[]): { train: Sample[]; validation: Sample[] } {
  const validates = (i: number) =>
    i % HELD_OUT === HELD_OUT - 1 || (samples.length < HELD_OUT && i === samples.length - 1);
  return {
    train: samples.filter((_, i) => !validates(i)),
    validation: samples.filter((_, i) => validates(i)),
  };
}
