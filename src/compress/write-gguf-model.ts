// Writes a model as a GGUF file in one precision, a piece of a tensor in memory at a time.
import type { Checkpoint } from '../formats/checkpoint.ts';
import { dequantize } from '../formats/dequantize.ts';
import type { GgmlTypeName } from '../formats/ggml-types.ts';
import { ggufMetadata, ggufNotes, ggufTensors } from '../formats/gguf-model.ts';
import { writeGguf } from '../formats/gguf-write.ts';
import { quantize } from '../formats/quantize.ts';
import type { WeightSource } from '../formats/weights.ts';
import { precisionOf, tensorType } from './precision.ts';

export interface WriteOptions {
  /** A name of `PRECISION_NAMES`. */
  type: string;
  /** The weights to write: the model's own, or merged ones. */
  weights: WeightSource;
  /** Called as tensors are written. */
  onTensor?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

export interface WrittenModel {
  parameters: number;
  /** ||written - exact|| / ||exact|| over all matrices. */
  relativeError: number;
  /** What llama.cpp will compute otherwise than the original model. */
  notes: string[];
}

/** @throws CupelError for an unknown type, a model that GGUF has no place for, a full disk */
export function writeGgufModel(path: string, model: Checkpoint, options: WriteOptions): WrittenModel {
  const precision = precisionOf(options.type);
  const parts = ggufTensors(model, options.weights);
  const metadata = ggufMetadata(model).set('general.file_type', { type: 'u32', value: precision.number });
  const error = new RelativeError();
  if (model.chatTemplate !== undefined) {
    metadata.set('tokenizer.chat_template', { type: 'string', value: model.chatTemplate });
  }
  let done = 0;
  const tensors = parts.map(({ name, shape, role, pieces }) => {
    const type = tensorType(precision, role, shape);
    const read = function* () {
      for (const values of pieces()) {
        options.signal?.throwIfAborted();
        const bytes = quantize(type, values);
        if (type !== 'F32') error.add(values, type, bytes);
        yield bytes;
      }
      options.onTensor?.(++done, parts.length);
    };
    return { name, type, shape, read };
  });
  writeGguf(path, metadata, tensors);
  const parameters = parts.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return { parameters, relativeError: error.value, notes: ggufNotes(model) };
}

class RelativeError {
  private square = 0;
  private total = 0;

  add(exact: Float32Array, type: GgmlTypeName, bytes: Uint8Array): void {
    const written = dequantize(type, bytes);
    for (let i = 0; i < exact.length; i++) {
      this.square += (written[i] - exact[i]) ** 2;
      this.total += exact[i] ** 2;
    }
  }

  get value(): number {
    return this.total === 0 ? 0 : Math.sqrt(this.square / this.total);
  }
}
