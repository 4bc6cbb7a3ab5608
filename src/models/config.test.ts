// Configs that cannot work are refused with the field that is to blame.
import { expect, it } from 'vitest';
import { familyOf } from './families.ts';
import { llama } from './llama.ts';
import { ropeFrequencies } from './rope.ts';

const TINY = {
  model_type: 'llama',
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  intermediate_size: 8,
  vocab_size: 10,
};

it.each([
  ['hidden_size', undefined],
  ['hidden_size', 'wide'],
  ['num_hidden_layers', 1.5],
  ['num_attention_heads', 0],
  ['num_key_value_heads', 3],
  ['hidden_act', 'relu'],
  ['tie_word_embeddings', 'yes'],
  ['rope_scaling.rope_type', { rope_type: 'longest', factor: 2 }],
  ['rope_scaling.factor', { rope_type: 'linear' }],
])('names %s when it is %j', (field, value) => {
  const json = { ...TINY, [field.split('.')[0]]: value };
  expect(() => llama.parseConfig(json)).toThrow(expect.objectContaining({ place: { file: 'config.json', field } }));
});

it('refuses an unknown model_type and says which are known', () => {
  expect(() => familyOf({ model_type: 'perceptron' })).toThrow(
    expect.objectContaining({ remedy: expect.stringContaining('llama') }),
  );
});

it('falls back to plain attention, no scaling and untied embeddings', () => {
  const config = llama.parseConfig(TINY);
  expect(config).toMatchObject({ keyValueHeads: 4, headSize: 4, tiedEmbeddings: false, rope: { theta: 10000 } });
  expect(ropeFrequencies(config.rope)).toEqual([1, 0.01]);
});
