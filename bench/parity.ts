// The parity table: our graph against transformers, llama.cpp against our graph, for every family. Usage: tsx bench/parity.ts
// Gradients of every parameter are held to transformers' by test/reference/families.test.ts.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatTable } from '../src/cli/table.ts';
import { compress } from '../src/compress/compress.ts';
import { type Checkpoint, openCheckpoint } from '../src/formats/checkpoint.ts';
import { openSafetensors } from '../src/formats/safetensors.ts';
import { cosine } from '../test/cosine.ts';
import { openInGraph } from '../test/graph-logits.ts';
import { largest, openInLlama } from '../test/llama-logits.ts';
import { type TinyWeight, writeTinyFolder } from '../test/tiny-folder.ts';

const fixtures = fileURLToPath(new URL('../test/reference/fixtures', import.meta.url));
const GENERATED = 64;

interface Case {
  model: Checkpoint;
  ids: number[];
  expected: Float32Array[];
}

/** Writes the fixture's model as a folder. */
function openCase(name: string, folder: string): Case {
  const file = openSafetensors(join(fixtures, `${name}.safetensors`));
  const weights = [...file.entries].flatMap(([key, { shape }]): [string, TinyWeight][] =>
    key.startsWith('weight/') ? [[key.slice('weight/'.length), { shape, data: file.read(key) }]] : [],
  );
  // room for the tokens that are generated
  const config = { ...JSON.parse(file.metadata.config), max_position_embeddings: 256 };
  writeTinyFolder(folder, config, new Map(weights));
  const [, length] = file.entries.get('ids')!.shape;
  const ids = [...new BigInt64Array(file.readRaw('ids').buffer)].map(Number).slice(0, length);
  const all = file.read('logits');
  const width = file.entries.get('logits')!.shape.at(-1)!;
  file.close();
  const expected = ids.map((_, i) => all.subarray(i * width, (i + 1) * width));
  return { model: openCheckpoint(folder), ids, expected };
}

const flat = (rows: readonly Float32Array[]) => Float32Array.from(rows.flatMap((row) => [...row]));

/** The largest difference, relative to the largest value. */
function relativeError(a: Float32Array, b: Float32Array): number {
  const most = b.reduce((found, value) => Math.max(found, Math.abs(value)), 0);
  return a.reduce((found, value, i) => Math.max(found, Math.abs(value - b[i])), 0) / most;
}

async function measure(name: string, folder: string): Promise<string[]> {
  const { model, ids, expected } = openCase(name, folder);
  const cells = [name.replace(/^gguf-/, ''), String(model.config.model_type)];
  const graph = await openInGraph(model);
  const ours = await graph.logits(ids);
  cells.push(relativeError(flat(ours), flat(expected)).toExponential(1));
  await compress({ base: model, types: ['f16', 'f32'], folder });
  const file = (type: string) => join(folder, `${folder.split('/').pop()}-${type}.gguf`);
  const half = openInLlama(file('f16'));
  cells.push(cosine(flat(half.logits(ids)), flat(ours)).toFixed(6));
  half.close();
  const llama = openInLlama(file('f32'));
  const prompt = ids.slice(0, 12);
  const taken = llama.greedy(prompt, GENERATED);
  llama.close();
  const rows = await graph.logits([...prompt, ...taken]);
  const same = taken.filter((token, i) => largest(rows[prompt.length - 1 + i]) === token).length;
  cells.push(`${same}/${GENERATED}`);
  await graph.close();
  model.close();
  return cells;
}

const home = mkdtempSync(join(tmpdir(), 'cupel-parity-'));
const names = readdirSync(fixtures)
  .filter((name) => /^(gguf|llama)-.*\.safetensors$/.test(name))
  .map((name) => name.replace('.safetensors', ''));
const rows = [['case', 'model_type', 'logits error', 'llama.cpp cosine (F16)', 'greedy tokens']];
for (const name of names) {
  try {
    rows.push(await measure(name, join(home, name)));
  } catch (error) {
    rows.push([name, '', `skipped: ${(error as Error).message}`]);
  }
}
rmSync(home, { recursive: true });
process.stdout.write(`${formatTable(rows)}\n`);
