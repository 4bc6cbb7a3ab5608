// The C structs of llama.h as llama.cpp v0.5.0 declares them, and a check that the loaded library agrees.
import koffi from 'koffi';
import { CupelError } from '../../base/errors.ts';

/** The one release whose struct layouts are written down here. */
export const LLAMA_VERSION = '0.5.0';

export type Pointer = bigint | null;

export const MODEL_PARAMS = koffi.struct({
  devices: 'void*',
  tensor_buft_overrides: 'void*',
  n_gpu_layers: 'int32',
  split_mode: 'int32',
  load_mode: 'int32',
  lazy_mode: 'int32',
  main_gpu: 'int32',
  tensor_split: 'void*',
  progress_callback: 'void*',
  progress_callback_user_data: 'void*',
  kv_overrides: 'void*',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
});

export const CONTEXT_PARAMS = koffi.struct({
  n_ctx: 'uint32',
  n_batch: 'uint32',
  n_ubatch: 'uint32',
  n_seq_max: 'uint32',
  n_rs_seq: 'uint32',
  n_outputs_max: 'uint32',
  n_outputs_max_per_seq: 'uint32',
  n_threads: 'int32',
  n_threads_batch: 'int32',
  ctx_type: 'int32',
  rope_scaling_type: 'int32',
  pooling_type: 'int32',
  attention_type: 'int32',
  flash_attn_type: 'int32',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32',
  defrag_thold: 'float',
  cb_eval: 'void*',
  cb_eval_user_data: 'void*',
  type_k: 'int32',
  type_v: 'int32',
  abort_callback: 'void*',
  abort_callback_data: 'void*',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void*',
  n_samplers: 'size_t',
  ctx_other: 'void*',
});

export const BATCH = koffi.struct({
  n_tokens: 'int32',
  token: 'void*',
  embd: 'void*',
  pos: 'void*',
  n_seq_id: 'void*',
  seq_id: 'void*',
  logits: 'void*',
});

/** A struct by value; the fields are those of the layouts above. */
export type Struct = Record<string, number | boolean | bigint | null>;

/** Defaults of v0.5.0 that sit at both ends of the structs: another layout would shift them. */
const KNOWN_MODEL = {
  n_gpu_layers: -1,
  split_mode: 1,
  load_mode: -1,
  main_gpu: 0,
  use_extra_bufts: true,
  no_host: false,
};
const KNOWN_CONTEXT = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  n_outputs_max_per_seq: 1,
  pooling_type: -1,
  flash_attn_type: -1,
  yarn_ext_factor: -1,
  type_k: 1,
  type_v: 1,
  offload_kqv: true,
  swa_full: true,
  kv_unified: false,
  n_samplers: 0,
};

/**
 * @param defaults what the library's own `llama_*_default_params` returned, read through the layouts above
 * @throws CupelError when release or defaults are not those of v0.5.0
 */
export function checkLayout(file: string, version: string, defaults: { model: Struct; context: Struct }): void {
  const wrong = [...differences(KNOWN_MODEL, defaults.model), ...differences(KNOWN_CONTEXT, defaults.context)];
  if (version.startsWith(LLAMA_VERSION) && wrong.length === 0) return;
  const what = version.startsWith(LLAMA_VERSION) ? `other defaults (${wrong.join(', ')})` : `release ${version}`;
  throw new CupelError(`this llama.cpp library has ${what}; its structs are only known for release ${LLAMA_VERSION}`, {
    place: { file },
    remedy: 'install version 3.22.1 of the @node-llama-cpp package for this platform',
  });
}

function differences(known: Struct, found: Struct): string[] {
  return Object.keys(known)
    .filter((key) => found[key] !== known[key])
    .map((key) => `${key} is ${found[key]}, not ${known[key]}`);
}
