// What `--type` takes: which ggml type each kind of tensor gets.
import { CupelError } from '../base/errors.ts';
import type { TensorRole } from '../formats/families/family.ts';
import type { QuantizedType } from '../formats/quantize.ts';

export interface Precision {
  matrix: QuantizedType;
  embedding: QuantizedType;
  /** llama.cpp's `general.file_type`. */
  number: number;
}

const plain = (type: QuantizedType, number: number): Precision => ({ matrix: type, embedding: type, number });

const PRECISIONS: Readonly<Record<string, Precision>> = {
  f32: plain('F32', 0),
  f16: plain('F16', 1),
  bf16: plain('BF16', 32),
  q8_0: plain('Q8_0', 7),
  // the embedding is also the output head of small students: 4 bits there cost the most
  q4_0: { matrix: 'Q4_0', embedding: 'Q8_0', number: 2 },
};

/** The names `precisionOf` takes. */
export const PRECISION_NAMES: readonly string[] = Object.keys(PRECISIONS);

/** @throws CupelError for a name that is not one of them */
export function precisionOf(name: string): Precision {
  if (Object.hasOwn(PRECISIONS, name)) return PRECISIONS[name];
  throw new CupelError(`no such GGUF type: ${name}`, {
    place: { field: '--type' },
    remedy: `choose from ${PRECISION_NAMES.join(', ')}`,
    exitCode: 2,
  });
}

/** The type of one tensor: what is small or steers others (norms, biases, routers) stays float32. */
export function tensorType(
  { matrix, embedding }: Precision,
  role: TensorRole,
  shape: readonly number[],
): QuantizedType {
  if (shape.length < 2 || role === 'norm' || role === 'bias' || role === 'router') return 'F32';
  const wanted = role === 'embedding' || role === 'output' ? embedding : matrix;
  const blocks = wanted === 'Q8_0' || wanted === 'Q4_0';
  // a row that is not whole blocks cannot be quantised
  return blocks && shape[shape.length - 1] % 32 !== 0 ? 'F16' : wanted;
}
