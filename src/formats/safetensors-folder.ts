// The weights of a Hugging Face folder: one safetensors file or several under an index, read lazily.
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { openSafetensors, type Safetensors } from './safetensors.ts';
import type { WeightSource } from './weights.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/**
 * @param rename turns a name in the file into the name callers use; undefined leaves the tensor out
 * @throws CupelError when the folder has no safetensors (pickles are refused), or its index is damaged
 */
export function openSafetensorsFolder(
  folder: string,
  rename: (name: string) => string | undefined = (name) => name,
): WeightSource {
  const shards = openShards(folder);
  const places = new Map<string, { file: Safetensors; name: string }>();
  for (const file of shards) {
    for (const name of file.entries.keys()) {
      const known = rename(name);
      if (known !== undefined) places.set(known, { file, name });
    }
  }
  const placeOf = (name: string) => {
    const place = places.get(name);
    if (place) return place;
    throw new CupelError('the checkpoint lacks this tensor', { place: { file: folder, field: name } });
  };
  const entryOf = (name: string) => {
    const { file, name: stored } = placeOf(name);
    return file.entries.get(stored)!;
  };
  return {
    names: () => places.keys(),
    shape: (name) => entryOf(name).shape,
    read(name) {
      const { file, name: stored } = placeOf(name);
      return file.read(stored);
    },
    readRows(name, from, count) {
      const { file, name: stored } = placeOf(name);
      return file.readRows(stored, from, count);
    },
    close: () => {
      for (const shard of shards) shard.close();
    },
  };
}

function openShards(folder: string): Safetensors[] {
  if (existsSync(join(folder, INDEX))) return shardNames(folder).map((name) => openSafetensors(join(folder, name)));
  if (existsSync(join(folder, SINGLE))) return [openSafetensors(join(folder, SINGLE))];
  const pickled = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'consolidated.00.pth'];
  const pickle = pickled.find((name) => existsSync(join(folder, name)));
  if (pickle) {
    throw new CupelError('pickled weights can run code when they are read, and are refused', {
      place: { file: join(folder, pickle) },
      remedy: "take the model's safetensors, or convert it where you trust it: model.save_pretrained(folder)",
    });
  }
  throw new CupelError(`has neither ${SINGLE} nor ${INDEX}`, {
    place: { file: folder },
    remedy: 'give a Hugging Face model folder with safetensors, or a GGUF file',
  });
}

function shardNames(folder: string): string[] {
  const file = join(folder, INDEX);
  let map: unknown;
  try {
    map = (JSON.parse(readFileSync(file, 'utf8')) as { weight_map?: unknown } | null)?.weight_map;
  } catch (cause) {
    throw new CupelError(`not JSON: ${(cause as Error).message}`, { place: { file }, cause });
  }
  if (map === null || typeof map !== 'object' || Array.isArray(map)) {
    throw new CupelError('has no weight_map', { place: { file, field: 'weight_map' } });
  }
  const names = [...new Set(Object.values(map))];
  for (const name of names) {
    // a shard outside the folder is no shard: refuse paths, whatever they point to
    if (typeof name === 'string' && /^[^/\\\0]+\.safetensors$/.test(name) && basename(name) === name) continue;
    throw new CupelError(`"${String(name).slice(0, 200)}" is not the name of a safetensors file in this folder`, {
      place: { file, field: 'weight_map' },
    });
  }
  return names as string[];
}
