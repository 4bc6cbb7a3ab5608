// Which runtime trains on the processor: OpenVINO, fetched once, where it is the faster one, else ONNX Runtime.
import { computesBfloat16, instructionSets } from '../base/processor.ts';
import { hasWheel, OPENVINO, resolveLibrary } from '../catalog/library.ts';
import { refuseForOpenvino } from '../distill/engine.ts';
import type { DistillOptions, Engine, EngineChoice } from '../distill/options.ts';
import type { Session } from './session.ts';

export interface ChosenEngine {
  /** Folder of OpenVINO's libraries, where it trains. */
  readonly openvino?: string;
}

/**
 * The engine for a training on a processor with these instruction sets, and why it is not OpenVINO. With bfloat16 OpenVINO is 1.5
 * times as fast as ONNX Runtime. Without it is 1.2 times as fast but takes 2.0 GB in place of 1.6, more than half of PyTorch's
 * (SmolLM2 on an AMD EPYC, told to leave bfloat16 alone).
 */
export function engineFor(options: DistillOptions, sets: readonly string[]): { engine: Engine; reason?: string } {
  const reason = whyNot(options, sets);
  return reason ? { engine: 'onnxruntime', reason } : { engine: 'openvino' };
}

function whyNot(
  { precision, device = 'cpu', ffnDensity = 1, layersPerStep }: DistillOptions,
  sets: readonly string[],
): string | undefined {
  if (device !== 'cpu') return `it computes on the processor, not on ${device}`;
  if (precision !== 'int8') return 'it trains in int8 only';
  if (ffnDensity < 1 || layersPerStep) return 'what is trained changes, and it compiles for each choice';
  if (!hasWheel(OPENVINO)) return `there is none for ${process.platform} on ${process.arch}`;
  return computesBfloat16(sets) ? undefined : 'this processor has no bfloat16 instructions';
}

/**
 * The engine for a training: what was asked for, or what is faster here; ONNX Runtime, with the reason, where OpenVINO cannot be had.
 * @param sets instruction sets of this processor unless given
 * @throws CupelError when OpenVINO was asked for by name and cannot be fetched, or for what it cannot train
 */
export async function chooseEngine(
  choice: EngineChoice,
  options: DistillOptions,
  { progress, signal }: Pick<Session, 'progress' | 'signal'>,
  sets?: readonly string[],
): Promise<ChosenEngine> {
  if (choice === 'onnxruntime') return {};
  if (choice === 'openvino') {
    refuseForOpenvino(options);
    return { openvino: await resolveLibrary(OPENVINO, { progress, signal }) };
  }
  if (engineFor(options, sets ?? instructionSets()).engine === 'onnxruntime') return {};
  try {
    return { openvino: await resolveLibrary(OPENVINO, { progress, signal }) };
  } catch (error) {
    signal.throwIfAborted();
    const reason = (error as Error).message.replaceAll('\n', ' ');
    progress({ stage: 'distill', message: `trains with ONNX Runtime, about 1.5 times slower here: ${reason}` });
    return {};
  }
}
