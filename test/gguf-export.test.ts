// Every family as GGUF: written from a Hugging Face folder, loaded by llama.cpp, with the logits and greedy tokens of our graph.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compress } from '../src/compress/compress.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { floats } from '../src/graph/tensor.ts';
import { cosine } from './cosine.ts';
import { openInGraph } from './graph-logits.ts';
import { largest, openInLlama } from './llama-logits.ts';
import { readFixture } from './reference/fixture.ts';
import { type TinyWeight, writeTinyFolder } from './tiny-folder.ts';

const FIXTURES = ['llama-tied', 'llama-untied-llama3', 'llama-bias-wide-heads'];
const home = mkdtempSync(join(tmpdir(), 'cupel-gguf-export-'));
afterAll(() => rmSync(home, { recursive: true }));

function folderOf(name: string): string {
  const { config, tensors } = readFixture(name);
  const weights = [...tensors].flatMap(([key, tensor]): [string, TinyWeight][] => {
    if (!key.startsWith('weight/')) return [];
    return [
      [key.slice('weight/'.length), { shape: tensor.shape as number[], data: Float32Array.from(floats(tensor)) }],
    ];
  });
  const folder = join(home, name);
  // room for the tokens that are generated
  writeTinyFolder(folder, { ...(config as Record<string, unknown>), max_position_embeddings: 256 }, new Map(weights));
  return folder;
}

const PROMPT = [5, 9, 33, 60, 7, 41, 96, 12, 3, 77, 50, 8];

describe.each(FIXTURES)('%s', (name) => {
  it('computes in llama.cpp what it computes here', { timeout: 30_000 }, async () => {
    const folder = folderOf(name);
    const model = openCheckpoint(folder);
    await compress({ base: model, types: ['f16'], folder });
    const graph = await openInGraph(model);
    const llama = openInLlama(join(folder, `${name}-f16.gguf`));
    const ours = await graph.logits(PROMPT);
    const theirs = llama.logits(PROMPT);
    ours.forEach((row, i) => {
      expect(cosine(row, theirs[i]), `position ${i}`).toBeGreaterThan(0.9999);
    });
    const taken = llama.greedy(PROMPT, 64);
    const rows = (await graph.logits([...PROMPT, ...taken])).slice(PROMPT.length - 1, -1);
    const undecided = rows.filter((row, i) => {
      const best = largest(row);
      // a random model is now and then undecided between two tokens: no more than float16 may decide it
      expect(row[best] - row[taken[i]], `token ${i}`).toBeLessThan(1e-3 * row[best]);
      return best !== taken[i];
    });
    expect(undecided.length).toBeLessThanOrEqual(1);
    llama.close();
    await graph.close();
  });

  it('reads back as the same model', () => {
    const model = openCheckpoint(join(home, name));
    const again = openCheckpoint(join(home, name, `${name}-f16.gguf`));
    expect(again.chatTemplate).toBe(model.chatTemplate);
    expect(again.licence).toBe('apache-2.0');
    expect([...again.weights.names()].sort()).toEqual([...model.weights.names()].sort());
    for (const weight of model.weights.names()) {
      const written = again.weights.read(weight);
      model.weights.read(weight).forEach((value, i) => {
        expect(Math.abs(written[i] - value)).toBeLessThanOrEqual(Math.abs(value) / 2048 + 1e-7);
      });
    }
    expect(again.tokenizer.encode('abc xyz')).toEqual(model.tokenizer.encode('abc xyz'));
    expect([again.tokenizer.bosId, again.tokenizer.eosId, again.tokenizer.padId]).toEqual([1, 2, 0]);
  });
});
