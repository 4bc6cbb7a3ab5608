// What engines must not be asked to train.
import { CupelError } from '../base/errors.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import type { DistillOptions } from './options.ts';

/**
 * Its float32 kernel keeps one arranged copy of a square matrix and of its transpose, so that gradients come out wrong.
 * @throws CupelError for anything but products in int8
 */
export function refuseForOpenvino({ precision, ffnDensity = 1 }: DistillOptions): void {
  const field = precision !== 'int8' ? `--precision ${precision}` : ffnDensity < 1 ? '--ffn-density' : undefined;
  if (!field) return;
  throw new CupelError('OpenVINO trains whole layers in int8 only', {
    place: { field: '--engine' },
    remedy: `leave out ${field}, or use --engine onnxruntime`,
    exitCode: 2,
  });
}

/**
 * Cupel's own kernels compute in bfloat16, which nothing else does, or in int8: for every weight, on the processor.
 * @throws CupelError for bfloat16 with another engine, for other precisions, for adapters, and where the kernels cannot run
 */
export function refuseForBf16(options: DistillOptions): void {
  const { engine, precision, full, device = 'cpu' } = options;
  if (engine !== 'cupel' && precision !== 'bf16') return;
  const fault = (message: string, field: string, remedy: string) =>
    new CupelError(message, { place: { field }, remedy, exitCode: 2 });
  const usual = 'use --precision int8 and another --engine';
  if (precision !== 'bf16' && precision !== 'int8')
    throw fault(
      "Cupel's own kernels compute in bfloat16 or int8",
      `--precision ${precision}`,
      'use --precision bf16 or int8, or another --engine',
    );
  if (engine !== 'cupel')
    throw fault(
      `bfloat16 is computed by Cupel's own kernels`,
      `--engine ${engine ?? 'onnxruntime'}`,
      'use --engine cupel, or leave it out',
    );
  if (!full)
    throw fault(
      "Cupel's own kernels are for training every weight",
      precision === 'bf16' ? '--precision' : '--engine',
      'use --full with it, or --precision int8 with another --engine',
    );
  if (device !== 'cpu')
    throw fault(
      "Cupel's own kernels compute on the processor",
      '--device',
      'leave out --device, or --engine and --precision bf16',
    );
  const reason = whyNoBf16();
  if (reason) throw fault(`Cupel's own kernels cannot run here: ${reason}`, '--engine', usual);
}
