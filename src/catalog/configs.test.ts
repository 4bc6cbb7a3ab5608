// The shapes in the catalog give exactly the parameters that the entries state.
import { expect, it } from 'vitest';
import { countParameters } from '../formats/parameters.ts';
import { CONFIGS } from './configs.ts';
import { ENTRIES } from './entries.ts';

it.each(ENTRIES.map((entry) => [entry.name, entry] as const))('%s', (name, entry) => {
  const { total, active } = countParameters(CONFIGS[name]);
  expect(total).toBe(entry.parameters);
  expect(active).toBe(entry.active ?? entry.parameters);
  expect(CONFIGS[name].model_type).toBe(entry.family);
  expect(entry.licence.url).toMatch(/^https:/);
});

it('has the models that people ask for', () => {
  const names = ENTRIES.map(({ name }) => name).join(' ');
  for (const family of [
    'smollm2',
    'qwen2.5',
    'qwen3',
    'qwen2-72b',
    'deepseek-v2-lite',
    'deepseek-v2',
    'llama-3',
    'gemma-3',
  ])
    expect(names).toContain(family);
});
