// Loads llama.cpp and binds the functions that serving calls; one binding for each thread.
import koffi, { type LibraryHandle } from 'koffi';
import { BATCH, CONTEXT_PARAMS, checkLayout, MODEL_PARAMS, type Pointer, type Struct } from './layout.ts';
import { type LlamaLibraries, requireLibraries } from './locate.ts';

export type Llama = ReturnType<typeof bind> & { libraries: LlamaLibraries; version: string };

let loaded: Llama | undefined;

/**
 * The binding of this thread; later calls return the first one.
 * @param options.gpu false: never use a GPU build even where one is installed
 * @throws CupelError when no library is installed or its release is not the known one
 */
export function loadLlama(options: { gpu?: boolean } = {}): Llama {
  loaded ??= load(options.gpu ?? true);
  return loaded;
}

function load(gpu: boolean): Llama {
  const libraries = requireLibraries(gpu);
  koffi.load(libraries.ggmlBase, { global: true });
  const ggml = koffi.load(libraries.ggml, { global: true });
  const library = koffi.load(libraries.llama, { global: true });
  if (process.env.CUPEL_LLAMA_LOG !== '1') silence(library);
  const version = library.func('str llama_version()')() as string;
  const llama = bind(library);
  checkLayout(libraries.llama, version, { model: llama.modelDefaults(), context: llama.contextDefaults() });
  library.func('void llama_backend_init()')();
  // registered backends are shared by the process: a second thread must not load them again
  if (Number(ggml.func('size_t ggml_backend_reg_count()')()) === 0)
    ggml.func('void ggml_backend_load_all_from_path(str)')(libraries.folder);
  return { ...llama, libraries, version };
}

/**
 * llama.cpp logs from whatever thread it runs on, where no JavaScript may be called. So its log callback becomes one of its own
 * functions: one without parameters and without effect, which the usual calling conventions allow to be called with some.
 */
function silence(library: LibraryHandle): void {
  library.func('void llama_log_set(void*, void*)')(library.symbol('llama_max_parallel_sequences'), null);
}

type Fn<Args extends unknown[], Result> = (...args: Args) => Result;

function bind(library: LibraryHandle) {
  const fn = <Args extends unknown[], Result>(definition: string) =>
    library.func(definition) as unknown as Fn<Args, Result>;
  return {
    modelDefaults: library.func('llama_model_default_params', MODEL_PARAMS, []) as unknown as Fn<[], Struct>,
    contextDefaults: library.func('llama_context_default_params', CONTEXT_PARAMS, []) as unknown as Fn<[], Struct>,
    loadModel: library.func('llama_model_load_from_file', 'void*', ['str', MODEL_PARAMS]) as unknown as Fn<
      [string, Struct],
      Pointer
    >,
    initContext: library.func('llama_init_from_model', 'void*', ['void*', CONTEXT_PARAMS]) as unknown as Fn<
      [Pointer, Struct],
      Pointer
    >,
    freeModel: fn<[Pointer], void>('void llama_model_free(void*)'),
    freeContext: fn<[Pointer], void>('void llama_free(void*)'),
    ...modelFunctions(fn),
    ...contextFunctions(fn),
    ...samplerFunctions(fn),
    batchInit: library.func('llama_batch_init', BATCH, ['int32', 'int32', 'int32']) as unknown as Fn<
      [number, number, number],
      Struct
    >,
    batchFree: library.func('llama_batch_free', 'void', [BATCH]) as unknown as Fn<[Struct], void>,
    decode: library.func('llama_decode', 'int32', ['void*', BATCH]) as unknown as Fn<[Pointer, Struct], number>,
    encode: library.func('llama_encode', 'int32', ['void*', BATCH]) as unknown as Fn<[Pointer, Struct], number>,
  };
}

type Binder = <Args extends unknown[], Result>(definition: string) => Fn<Args, Result>;

function modelFunctions(fn: Binder) {
  return {
    vocabOf: fn<[Pointer], Pointer>('void* llama_model_get_vocab(void*)'),
    trainedContext: fn<[Pointer], number>('int32 llama_model_n_ctx_train(void*)'),
    embeddingSize: fn<[Pointer], number>('int32 llama_model_n_embd(void*)'),
    embeddingOutSize: fn<[Pointer], number>('int32 llama_model_n_embd_out(void*)'),
    layers: fn<[Pointer], number>('int32 llama_model_n_layer(void*)'),
    heads: fn<[Pointer], number>('int32 llama_model_n_head(void*)'),
    kvHeads: fn<[Pointer], number>('int32 llama_model_n_head_kv(void*)'),
    parameters: fn<[Pointer], number | bigint>('uint64 llama_model_n_params(void*)'),
    modelBytes: fn<[Pointer], number | bigint>('uint64 llama_model_size(void*)'),
    isRecurrent: fn<[Pointer], boolean>('bool llama_model_is_recurrent(void*)'),
    isHybrid: fn<[Pointer], boolean>('bool llama_model_is_hybrid(void*)'),
    hasEncoder: fn<[Pointer], boolean>('bool llama_model_has_encoder(void*)'),
    description: fn<[Pointer, Uint8Array, number], number>('int32 llama_model_desc(void*, void*, size_t)'),
    metadata: fn<[Pointer, string, Uint8Array, number], number>(
      'int32 llama_model_meta_val_str(void*, str, void*, size_t)',
    ),
    vocabSize: fn<[Pointer], number>('int32 llama_vocab_n_tokens(void*)'),
    isEnd: fn<[Pointer, number], boolean>('bool llama_vocab_is_eog(void*, int32)'),
    bos: fn<[Pointer], number>('int32 llama_vocab_bos(void*)'),
    addsBos: fn<[Pointer], boolean>('bool llama_vocab_get_add_bos(void*)'),
    tokenize: fn<[Pointer, Uint8Array, number, Int32Array, number, boolean, boolean], number>(
      'int32 llama_tokenize(void*, void*, int32, void*, int32, bool, bool)',
    ),
    tokenToPiece: fn<[Pointer, number, Uint8Array, number, number, boolean], number>(
      'int32 llama_token_to_piece(void*, int32, void*, int32, int32, bool)',
    ),
    loadAdapter: fn<[Pointer, string], Pointer>('void* llama_adapter_lora_init(void*, str)'),
    freeAdapter: fn<[Pointer], void>('void llama_adapter_lora_free(void*)'),
  };
}

function contextFunctions(fn: Binder) {
  return {
    contextTokens: fn<[Pointer], number>('uint32 llama_n_ctx_seq(void*)'),
    poolingType: fn<[Pointer], number>('int32 llama_pooling_type(void*)'),
    memoryOf: fn<[Pointer], Pointer>('void* llama_get_memory(void*)'),
    clearMemory: fn<[Pointer, boolean], void>('void llama_memory_clear(void*, bool)'),
    removeTokens: fn<[Pointer, number, number, number], boolean>(
      'bool llama_memory_seq_rm(void*, int32, int32, int32)',
    ),
    copySequence: fn<[Pointer, number, number, number, number], void>(
      'void llama_memory_seq_cp(void*, int32, int32, int32, int32)',
    ),
    logits: fn<[Pointer], Pointer>('void* llama_get_logits(void*)'),
    sequenceEmbedding: fn<[Pointer, number], Pointer>('void* llama_get_embeddings_seq(void*, int32)'),
    tokenEmbedding: fn<[Pointer, number], Pointer>('void* llama_get_embeddings_ith(void*, int32)'),
    setAdapters: fn<[Pointer, BigUint64Array | null, number, Float32Array | null], number>(
      'int32 llama_set_adapters_lora(void*, void*, size_t, void*)',
    ),
  };
}

function samplerFunctions(fn: Binder) {
  return {
    samplerFree: fn<[Pointer], void>('void llama_sampler_free(void*)'),
    samplerAccept: fn<[Pointer, number], void>('void llama_sampler_accept(void*, int32)'),
    samplerApply: fn<[Pointer, Uint8Array], void>('void llama_sampler_apply(void*, void*)'),
    samplerGreedy: fn<[], Pointer>('void* llama_sampler_init_greedy()'),
    samplerDist: fn<[number], Pointer>('void* llama_sampler_init_dist(uint32)'),
    samplerTopK: fn<[number], Pointer>('void* llama_sampler_init_top_k(int32)'),
    samplerTopP: fn<[number, number], Pointer>('void* llama_sampler_init_top_p(float, size_t)'),
    samplerMinP: fn<[number, number], Pointer>('void* llama_sampler_init_min_p(float, size_t)'),
    samplerTemperature: fn<[number], Pointer>('void* llama_sampler_init_temp(float)'),
    samplerPenalties: fn<[number, number, number, number, number], Pointer>(
      'void* llama_sampler_init_penalties(int32, int32, float, float, float)',
    ),
    samplerGrammar: fn<[Pointer, string, string], Pointer>('void* llama_sampler_init_grammar(void*, str, str)'),
  };
}
