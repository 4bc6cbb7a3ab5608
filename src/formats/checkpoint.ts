// Opens a model as people have it, a GGUF file or a Hugging Face folder, behind one interface.
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { familyOfArchitecture } from './families/families.ts';
import { type Gguf, looksLikeGguf, openGguf } from './gguf.ts';
import { required, stringAt } from './gguf-values.ts';
import { ggufWeights } from './gguf-weights.ts';
import { openHuggingFaceFolder } from './huggingface-folder.ts';
import type { Tokenizer } from './tokenizer.ts';
import { tokenizerFromGguf } from './tokenizer-gguf.ts';
import type { ConfigJson, WeightSource } from './weights.ts';

export interface Checkpoint {
  path: string;
  format: 'gguf' | 'huggingface';
  name: string;
  /** As Hugging Face writes it; rebuilt from the metadata when the file is a GGUF. */
  config: ConfigJson;
  /** Under Hugging Face names, float32. */
  weights: WeightSource;
  /** Made on first use: large vocabularies take seconds. @throws CupelError when there is none or it is not supported */
  readonly tokenizer: Tokenizer;
  /** Jinja source; undefined for base models without one. */
  chatTemplate: string | undefined;
  /** SPDX name or what the file says. */
  licence: string | undefined;
  /** The GGUF file behind it. */
  gguf?: Gguf;
  close(): void;
}

/**
 * @param path a `.gguf` file, or a folder with config.json and safetensors
 * @throws CupelError when it is neither, damaged, or of a family that is not supported
 */
export function openCheckpoint(path: string): Checkpoint {
  if (!existsSync(path)) {
    throw new CupelError('no such file or folder', {
      place: { file: path },
      remedy: 'give a GGUF file, a Hugging Face folder, or a name that `cupel models list` shows',
    });
  }
  return statSync(path).isDirectory() ? openFolder(path) : openGgufCheckpoint(path);
}

function openFolder(path: string): Checkpoint {
  if (existsSync(join(path, 'config.json'))) return openHuggingFaceFolder(path);
  throw new CupelError('has no config.json', {
    place: { file: path },
    remedy: 'give a Hugging Face model folder (config.json, safetensors, tokenizer.json) or a GGUF file',
  });
}

/** Files that people take for models and that are none, or none that may be read. */
function refuseOtherKinds(path: string): void {
  const head = readHead(path, 16);
  if (looksLikeGguf(head)) return;
  const pickled = head[0] === 0x80 && head[1] <= 5;
  if (pickled || head.subarray(0, 4).toString('latin1') === 'PK\x03\x04') {
    throw new CupelError('is a pickle or an archive of pickles, which can run code when it is read, and is refused', {
      place: { file: path },
      remedy: "take the model's safetensors, or convert it where you trust it: model.save_pretrained(folder)",
    });
  }
  if (path.endsWith('.safetensors')) {
    throw new CupelError('safetensors alone are no model: config and tokenizer are missing', {
      place: { file: path },
      remedy: 'give the folder that holds it, with config.json and tokenizer.json',
    });
  }
}

function readHead(path: string, count: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(count);
    return bytes.subarray(0, readSync(fd, bytes, 0, count, 0));
  } finally {
    closeSync(fd);
  }
}

function openGgufCheckpoint(path: string): Checkpoint {
  refuseOtherKinds(path);
  const gguf = openGguf(path);
  try {
    const architecture = required(stringAt(gguf.metadata, 'general.architecture'), 'general.architecture');
    const family = familyOfArchitecture(architecture);
    const config = family.configFromGguf(gguf);
    let tokenizer: Tokenizer | undefined;
    return {
      path,
      format: 'gguf',
      name: stringAt(gguf.metadata, 'general.name') ?? basename(path, '.gguf'),
      config,
      weights: ggufWeights(gguf, family.tensors(config)),
      get tokenizer() {
        tokenizer ??= tokenizerFromGguf(gguf.metadata);
        return tokenizer;
      },
      chatTemplate: stringAt(gguf.metadata, 'tokenizer.chat_template'),
      licence: stringAt(gguf.metadata, 'general.license'),
      gguf,
      close: () => gguf.close(),
    };
  } catch (error) {
    gguf.close();
    throw error;
  }
}
