// What the stage and its training thread say to each other.
import { CupelError, type ErrorPlace } from '../base/errors.ts';
import type { ProgressEvent } from '../base/progress.ts';
import type { DistillFacts } from './facts.ts';
import type { DistillOptions } from './options.ts';

export interface TrainingJob {
  /** Folder with train.jsonl and calibration.jsonl; not looked at when there is a text. */
  dataset?: string;
  /** A file of plain text to train on. */
  text?: string;
  /** GGUF file or Hugging Face folder. */
  student: string;
  options: DistillOptions;
  /** Folder of OpenVINO's libraries, where it is the engine. */
  openvino?: string;
  /** Where the adapter, the losses and the checkpoints go. */
  folder: string;
  /** One 32-bit number, not 0 when the thread shall stop at the next step. */
  stop: SharedArrayBuffer;
}

/** An error as threads can pass it on. */
export interface PlainError {
  message: string;
  place?: ErrorPlace;
  remedy?: string;
  exitCode?: number;
  /** Set for faults that are no CupelError. */
  stack?: string;
}

export type FromTraining =
  | { type: 'progress'; event: ProgressEvent }
  | { type: 'done'; facts: DistillFacts }
  | { type: 'stopped'; message: string }
  | { type: 'failed'; error: PlainError };

export function toPlain(error: unknown): PlainError {
  if (error instanceof CupelError) {
    const { message, place, remedy, exitCode } = error;
    return { message, place, remedy, exitCode };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { message, stack };
}

export function fromPlain({ message, place, remedy, exitCode, stack }: PlainError): Error {
  if (stack === undefined) return new CupelError(message, { place, remedy, exitCode });
  return Object.assign(new Error(message), { stack });
}
