// What OpenVINO must not be asked to train.
import { CupelError } from '../base/errors.ts';
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
