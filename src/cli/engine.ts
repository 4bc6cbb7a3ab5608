// Which runtime trains on the processor: Cupel's own kernels for every weight where they can run, OpenVINO, fetched once, for what is trained in
// int8 where it is faster, else ONNX Runtime.
import { computesBfloat16, instructionSets } from '../base/processor.ts';
import { hasWheel, OPENVINO, resolveLibrary } from '../catalog/library.ts';
import { refuseForBf16, refuseForOpenvino } from '../distill/engine.ts';
import type { DistillOptions, Engine, EngineChoice } from '../distill/options.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import type { Session } from './session.ts';

export interface ChosenEngine {
  /** With the engine, and with the precision that goes with it. */
  readonly options: DistillOptions;
  /** Folder of OpenVINO's libraries, where it trains. */
  readonly openvino?: string;
}

/** What is known about a training beside its options. */
export interface Asked {
  /** The precision was asked for, so that it stays. */
  readonly precision: boolean;
  /** The student has experts. */
  readonly experts: boolean;
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

/** Every weight: faster than with OpenVINO, and nothing to fetch or compile. */
function takesOwn({ full, device = 'cpu', precision }: DistillOptions, asked: Asked, sets: readonly string[]): boolean {
  return (
    Boolean(full) &&
    device === 'cpu' &&
    (!asked.precision || precision === 'int8') &&
    !asked.experts &&
    !whyNoBf16(sets)
  );
}

/** What Cupel's own kernels train every weight in. Where AMX multiplies, bfloat16 is as fast as int8 and nearer to float32; other processors have the faster instructions for int8. */
export function ownPrecision(sets: readonly string[]): 'bf16' | 'int8' {
  return sets.includes('amx_bf16') ? 'bf16' : 'int8';
}

/**
 * The engine for a training: what was asked for, or what is faster here; ONNX Runtime, with the reason, where OpenVINO cannot be had.
 * @param sets instruction sets of this processor unless given
 * @throws CupelError when an engine was asked for by name and cannot be had, or for what it cannot train
 */
export async function chooseEngine(
  choice: EngineChoice,
  options: DistillOptions,
  asked: Asked,
  { progress, signal }: Pick<Session, 'progress' | 'signal'>,
  sets = instructionSets(),
): Promise<ChosenEngine> {
  const own = {
    ...options,
    engine: 'cupel',
    precision: asked.precision ? options.precision : ownPrecision(sets),
  } as const;
  const withOpenvino = async () => ({
    options: { ...options, engine: 'openvino' as const },
    openvino: await resolveLibrary(OPENVINO, { progress, signal }),
  });
  const named = asked.precision && options.precision === 'bf16';
  if (choice === 'cupel' || (choice === 'auto' && (named || takesOwn(options, asked, sets)))) {
    refuseForBf16(own);
    return { options: own };
  }
  refuseForBf16({ ...options, engine: choice === 'auto' ? undefined : choice });
  if (choice === 'onnxruntime') return { options };
  if (choice === 'openvino') {
    refuseForOpenvino(options);
    return withOpenvino();
  }
  if (engineFor(options, sets).engine === 'onnxruntime') return { options };
  try {
    return await withOpenvino();
  } catch (error) {
    signal.throwIfAborted();
    const reason = (error as Error).message.replaceAll('\n', ' ');
    progress({ stage: 'distill', message: `trains with ONNX Runtime, about 1.5 times slower here: ${reason}` });
    return { options };
  }
}
