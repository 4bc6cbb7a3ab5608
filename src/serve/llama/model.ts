// A GGUF model in memory: weights, vocabulary and the few facts that serving needs.
import { CupelError } from '../../base/errors.ts';
import type { Pointer } from './layout.ts';
import type { Llama } from './library.ts';

export interface LlamaModel {
  readonly pointer: Pointer;
  readonly vocab: Pointer;
  readonly vocabSize: number;
  /** Tokens of context the model was trained on. */
  readonly trainedContext: number;
  readonly parameters: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** e.g. `llama 135M Q4_0`. */
  readonly description: string;
  /** Bytes that one token takes in the KV cache (float16). */
  readonly cacheBytesPerToken: number;
  /** False for recurrent models, whose state cannot be cut back to an earlier position. */
  readonly canCutBack: boolean;
  /** Ids of tokens that end an answer. */
  readonly endIds: ReadonlySet<number>;
  free(): void;
}

/** @throws CupelError when llama.cpp cannot load the file */
export function loadModel(llama: Llama, path: string, options: { gpuLayers?: number } = {}): LlamaModel {
  const gpuLayers = options.gpuLayers ?? (llama.libraries.gpu ? -1 : 0);
  const pointer = llama.loadModel(path, { ...llama.modelDefaults(), n_gpu_layers: gpuLayers });
  if (!pointer) {
    throw new CupelError('llama.cpp cannot load this model', {
      place: { file: path },
      remedy: 'check that it is a complete GGUF file of a text model; CUPEL_LLAMA_LOG=1 shows what llama.cpp says',
    });
  }
  const vocab = llama.vocabOf(pointer);
  const vocabSize = llama.vocabSize(vocab);
  const endIds = new Set(Array.from({ length: vocabSize }, (_, id) => id).filter((id) => llama.isEnd(vocab, id)));
  return {
    pointer,
    vocab,
    vocabSize,
    trainedContext: llama.trainedContext(pointer),
    parameters: Number(llama.parameters(pointer)),
    bytes: Number(llama.modelBytes(pointer)),
    description: readText((buffer) => llama.description(pointer, buffer, buffer.length)) ?? '',
    cacheBytesPerToken: cacheBytesPerToken(llama, pointer),
    canCutBack: !llama.isRecurrent(pointer) && !llama.isHybrid(pointer),
    endIds,
    free: () => llama.freeModel(pointer),
  };
}

/** A metadata value as text, or undefined. */
export function modelMetadata(llama: Llama, model: Pointer, key: string): string | undefined {
  return readText((buffer) => llama.metadata(model, key, buffer, buffer.length));
}

function cacheBytesPerToken(llama: Llama, model: Pointer): number {
  const architecture = modelMetadata(llama, model, 'general.architecture');
  const size = (name: string) => Number(modelMetadata(llama, model, `${architecture}.attention.${name}`) ?? Number.NaN);
  const headSize = llama.embeddingSize(model) / Math.max(1, llama.heads(model));
  const width = (size('key_length') || headSize) + (size('value_length') || headSize);
  return llama.layers(model) * Math.max(1, llama.kvHeads(model)) * width * 2;
}

function readText(read: (buffer: Uint8Array) => number): string | undefined {
  const buffer = new Uint8Array(1024);
  const length = read(buffer);
  return length < 0 ? undefined : Buffer.from(buffer.subarray(0, Math.min(length, buffer.length - 1))).toString('utf8');
}
