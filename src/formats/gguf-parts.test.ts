// An export reads weights in bounded pieces, and refuses tensors it has no place for.
import { expect, it } from 'vitest';
import { familyOfModelType } from './families/families.ts';
import { ggufParts } from './gguf-parts.ts';
import { elementsOf, type WeightSource } from './weights.ts';

/** Qwen2.5-7B with two layers; rows are made when they are asked for. */
const CONFIG = {
  model_type: 'qwen2',
  hidden_size: 3584,
  intermediate_size: 18_944,
  num_hidden_layers: 1,
  num_attention_heads: 28,
  num_key_value_heads: 4,
  vocab_size: 152_064,
  max_position_embeddings: 32_768,
};

function source(largest: { elements: number }, extra: string[] = [], without: string[] = []): WeightSource {
  const { links } = familyOfModelType('qwen2').tensors(CONFIG);
  const shapes = new Map(
    links.filter(({ hf }) => !hf.endsWith('o_proj.bias') && !/mlp.*bias/.test(hf)).map((l) => [l.hf, l.shape]),
  );
  for (const name of extra) shapes.set(name, [8]);
  for (const name of without) shapes.delete(name);
  const readRows = (name: string, _from: number, count: number) => {
    const elements = count * elementsOf(shapes.get(name)!.slice(1));
    largest.elements = Math.max(largest.elements, elements);
    return new Float32Array(elements);
  };
  return {
    names: () => shapes.keys(),
    shape: (name) => shapes.get(name)!,
    read: (name) => readRows(name, 0, shapes.get(name)![0]),
    readRows,
    close: () => {},
  };
}

const tensors = () => familyOfModelType('qwen2').tensors(CONFIG);

it('never reads more than 17 MB of a 7B model at once', () => {
  const largest = { elements: 0 };
  const wanted = ['token_embd.weight', 'blk.0.ffn_down.weight', 'blk.0.attn_q.weight'];
  for (const part of ggufParts(tensors(), source(largest), false).filter(({ name }) => wanted.includes(name))) {
    let elements = 0;
    for (const values of part.pieces()) elements += values.length;
    expect(elements).toBe(elementsOf(part.shape));
  }
  expect(4 * largest.elements).toBeLessThan(17 * 2 ** 20);
});

it('refuses a tensor without a place, a missing one, and an output that should be there', () => {
  const parts = (extra: string[], without: string[], tied = false) =>
    ggufParts(tensors(), source({ elements: 0 }, extra, without), tied);
  expect(() => parts(['model.layers.0.self_attn.q_norm.weight'], [])).toThrow(/no place/);
  expect(() => parts([], ['model.norm.weight'])).toThrow(/lack/);
  expect(() => parts([], ['lm_head.weight'])).toThrow(/lack/);
  expect(parts([], ['lm_head.weight'], true).map(({ name }) => name)).not.toContain('output.weight');
  // what follows from the config says nothing new
  expect(parts(['model.layers.0.self_attn.rotary_emb.inv_freq'], []).length).toBe(parts([], []).length);
});
