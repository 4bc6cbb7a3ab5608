// The parity tables: our graph against transformers, llama.cpp against our graph, and the token ids of all three, for every family.
//   npm run parity        (CUPEL_VOCABULARIES names a folder with llama.cpp's ggml-vocab-*.gguf, for tokens of more families)
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
import { readFixture } from '../test/reference/fixture.ts';
import { errorsOf, GRADIENT_FIXTURES } from '../test/reference/gradient-graph.ts';
import { type TinyWeight, writeTinyFolder } from '../test/tiny-folder.ts';
import { conversations, openTokenFamily, overruled, TOKEN_FAMILIES } from '../test/token-families.ts';

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

const NOT_BY_LLAMA: Record<string, string> = {
  mistral: 'its sliding window is not in the GGUF architecture "llama", so long texts would differ',
  'deepseek-v2': 'llama.cpp ranks groups of experts by their two best, DeepSeek-V2 by the best; deepseek has one group',
  ...Object.fromEntries(
    ['qwen2', 'qwen3', 'gemma3', 'mixtral', 'qwen3-moe', 'qwen2-yarn', 'deepseek-v2-lite'].map((name) => [
      name,
      'the case of this family above has weights that float16 holds exactly',
    ]),
  ),
};

/** What each row has beside its name. */
type Cells = [type: string, logits: string, gradient: string, cosine: string, greedy: string];

/** Our graph beside transformers: logits, and the worst of all gradients. */
async function beside(name: string): Promise<Cells> {
  const fixture = readFixture(name);
  const errors = await errorsOf(fixture);
  const gradients = [...errors].filter(([key]) => key.startsWith('gradient/')).map(([, error]) => error);
  const type = String((fixture.config as { model_type: string }).model_type);
  const worst = `${Math.max(...gradients).toExponential(1)} of ${gradients.length}`;
  return [type, errors.get('logits')!.toExponential(1), worst, '-', '-'];
}

/** llama.cpp beside our graph, on what we export. */
async function measure(name: string, folder: string): Promise<Cells> {
  const { model, ids, expected } = openCase(name, folder);
  const graph = await openInGraph(model);
  const ours = await graph.logits(ids);
  const error = relativeError(flat(ours), flat(expected)).toExponential(1);
  await compress({ base: model, types: ['f16', 'f32'], folder });
  const file = (type: string) => join(folder, `${folder.split('/').pop()}-${type}.gguf`);
  const half = openInLlama(file('f16'));
  const similar = cosine(flat(half.logits(ids)), flat(ours)).toFixed(6);
  half.close();
  const llama = openInLlama(file('f32'));
  const prompt = ids.slice(0, 12);
  const taken = llama.greedy(prompt, GENERATED);
  llama.close();
  const rows = await graph.logits([...prompt, ...taken]);
  const same = taken.filter((token, i) => largest(rows[prompt.length - 1 + i]) === token).length;
  await graph.close();
  model.close();
  return [String(model.config.model_type), error, '-', similar, `${same}/${GENERATED}`];
}

/** Token ids of the suite: ours beside transformers' and llama.cpp's. */
async function tokens(family: string, find: () => Promise<string | undefined>): Promise<string[]> {
  const path = await find();
  if (!path) return [family, '-', '-', 'skipped: no real vocabulary at hand'];
  const { ours, transformers, withLlama } = openTokenFamily(family, path);
  const same = (a: readonly number[], b: readonly number[]) => a.join() === b.join();
  const known = conversations.filter(transformers);
  const byTransformers = known.filter((row) => same(ours(row), transformers(row)!)).length;
  const compared = conversations.filter((row) => !overruled(family, row));
  let byLlama = 0;
  withLlama((llama) => {
    byLlama = compared.filter((row) => same(ours(row), llama(row))).length;
  });
  const left = [
    known.length < conversations.length &&
      `transformers' template refuses ${conversations.length - known.length} of the ${conversations.length} conversations`,
    compared.length < conversations.length &&
      `${conversations.length - compared.length} hold </s>, which llama.cpp takes for a control token of Gemma`,
  ].filter(Boolean);
  return [family, `${byTransformers}/${known.length}`, `${byLlama}/${compared.length}`, left.join('; ')];
}

const home = mkdtempSync(join(tmpdir(), 'cupel-parity-'));
const cases = readdirSync(fixtures)
  .filter((name) => /^gguf-.*\.safetensors$/.test(name))
  .map((name) => name.replace('.safetensors', ''));
const both = GRADIENT_FIXTURES.filter((name) => name.startsWith('llama-'));
const table = [
  ['case', 'model_type', 'logits error', 'gradient error, worst', 'llama.cpp cosine (F16)', 'greedy tokens', 'skipped'],
];
for (const name of [...cases, ...GRADIENT_FIXTURES]) {
  const shown = name.startsWith('gguf-') ? `${name.slice(5)} (F16 weights)` : name;
  try {
    const cells = cases.includes(name) ? await measure(name, join(home, name)) : await beside(name);
    if (both.includes(name)) cells.splice(3, 2, ...(await measure(name, join(home, name))).slice(3));
    const why = cases.includes(name)
      ? 'gradients: in the case of this family below'
      : NOT_BY_LLAMA[name] && `llama.cpp: ${NOT_BY_LLAMA[name]}`;
    table.push([shown, ...cells, why ?? '']);
  } catch (error) {
    table.push([shown, '', '', '', '', '', (error as Error).message]);
  }
}
rmSync(home, { recursive: true });
process.stdout.write(`${formatTable(table)}\n\n`);
const suite = [['token ids', 'as transformers', 'as llama.cpp', `of ${conversations.length} conversations`]];
for (const [family, find] of Object.entries(TOKEN_FAMILIES)) suite.push(await tokens(family, find));
process.stdout.write(`${formatTable(suite)}\n`);
