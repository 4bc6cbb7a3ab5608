// The distill stage: sequence-level distillation (Kim and Rush, 2016) of the teacher's answers into LoRA adapters.
import { type Progress, silent } from '../base/progress.ts';
import { startWorker } from '../base/worker.ts';
import type { DistillFacts } from './facts.ts';
import { type FromTraining, fromPlain, type TrainingJob } from './protocol.ts';

export type { DistillFacts } from './facts.ts';
export { DISTILL_DEFAULTS, DISTILL_VERSION, type DistillOptions } from './options.ts';

export interface DistillRun extends Omit<TrainingJob, 'stop'> {
  progress?: Progress;
  /** Stops after the step in progress, with a checkpoint; the same run goes on from there. */
  signal?: AbortSignal;
}

/**
 * Trains in a thread of its own. Writes adapter_config.json, adapter_model.safetensors (PEFT) and losses.jsonl into `folder`, or with
 * `options.full` the whole model as a Hugging Face folder;
 * checkpoints lie in `.checkpoints` there, and a run that finds some goes on from the newest.
 * @throws CupelError when the student or the dataset cannot be trained on; the signal's reason when it is aborted
 */
export function distill({ progress = silent, signal, ...job }: DistillRun): Promise<DistillFacts> {
  const stop = new SharedArrayBuffer(4);
  const data: TrainingJob = { ...job, stop };
  const worker = startWorker(import.meta.url, './worker', { workerData: data });
  const onAbort = () => Atomics.store(new Int32Array(stop), 0, 1);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort);
  return new Promise<DistillFacts>((resolve, reject) => {
    worker.on('message', (message: FromTraining) => {
      if (message.type === 'progress') progress(message.event);
      else if (message.type === 'done') resolve(message.facts);
      else if (message.type === 'stopped') reject(signal?.reason ?? new Error(message.message));
      else reject(fromPlain(message.error));
    });
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`the training thread ended with code ${code}`)));
  }).finally(() => {
    signal?.removeEventListener('abort', onAbort);
    return worker.terminate();
  });
}
