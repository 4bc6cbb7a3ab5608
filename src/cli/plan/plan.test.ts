// The plan's sizes against files that were written, and against what runs on a real machine took.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { writeTinyFolder } from '../../../test/tiny-folder.ts';
import { CONFIGS } from '../../catalog/configs.ts';
import { writeGgufModel } from '../../compress/write-gguf-model.ts';
import { openCheckpoint } from '../../formats/checkpoint.ts';
import { familyOfModelType } from '../../formats/families/families.ts';
import { openGguf } from '../../formats/gguf.ts';
import { type Device, findDevice } from './device.ts';
import { cacheBytes, fileBytes, modelSize } from './model-size.ts';
import { planServing } from './serving.ts';
import { planTraining } from './training.ts';

const home = mkdtempSync(join(tmpdir(), 'cupel-plan-'));
afterAll(() => rmSync(home, { recursive: true }));

const LOAD = { users: 1, context: 2048 };
const size = (name: string) => modelSize(CONFIGS[name]);

it.each(['f16', 'q8_0', 'q4_0'])('counts the bytes that a %s file has', (type) => {
  const config = {
    ...CONFIGS['qwen3-30b-a3b'],
    hidden_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 32,
    num_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 32,
    vocab_size: 40,
    norm_topk_prob: true,
  };
  const links = familyOfModelType('qwen3_moe')
    .tensors(config)
    .links.filter(({ hf }) => !hf.endsWith('.bias'));
  const weights = links.map(({ hf, shape }) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
    return [hf, { shape, data }] as const;
  });
  writeTinyFolder(join(home, 'moe'), config, new Map(weights));
  const model = openCheckpoint(join(home, 'moe'));
  writeGgufModel(join(home, 'moe.gguf'), model, { type, weights: model.weights });
  const written = openGguf(join(home, 'moe.gguf'));
  const bytes = [...written.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  written.close();
  model.close();
  expect(fileBytes(config, type).all).toBe(bytes);
});

it('counts the cache: grouped heads, one latent row, short windows', () => {
  expect(cacheBytes(CONFIGS['qwen2-72b-instruct'], 1)).toBe(80 * 2 * 8 * 128 * 2);
  expect(cacheBytes(CONFIGS['deepseek-v2-lite-chat'], 1)).toBe(27 * (512 + 64) * 2);
  // 26 layers of which 4 see everything
  const row = 2 * 256 * 2;
  expect(cacheBytes(CONFIGS['gemma-3-1b-it'], 10_000)).toBe(row * (4 * 10_000 + 22 * 512));
});

it('says what of Qwen2-72B fits one A100', async () => {
  const fits = async (device: string, type: string) => {
    const found = await findDevice(device);
    return planServing(size('qwen2-72b-instruct'), type, found, LOAD).memoryBytes <= found.memoryBytes;
  };
  expect(await fits('a100-80g', 'f16')).toBe(false);
  expect(await fits('a100-80g', 'q4_0')).toBe(true);
  expect(await fits('a100-40g', 'q4_0')).toBe(false);
  expect(await fits('memory=160,bandwidth=4000,flops=600', 'f16')).toBe(true);
  await expect(findDevice('abacus')).rejects.toThrow(/no such device/);
});

/** Two cores of Zen 3 with AVX2, as measured by `cupel doctor` on the machine where the runs below were made. */
const ZEN3: Device = {
  name: 'two cores',
  source: 'measured',
  memoryBytes: 25e9,
  bandwidth: 32e9,
  float32: 126e9,
  float16: 126e9,
  int8: 246e9,
  reached: { bandwidth: 1, compute: 1 },
  cpu: true,
};
const within = (planned: number, measured: number, share: number) => {
  expect(planned / measured).toBeGreaterThan(1 - share);
  expect(planned / measured).toBeLessThan(1 + share);
};

it('plans the memory and time that training SmolLM2 took', () => {
  // a batch of a shared prefix of 186 tokens and three rows of 160, int8, rank 8: the demo
  const load = { batchTokens: 666, length: 346, rank: 8 };
  const plan = planTraining(size('smollm2-135m-instruct'), 'lora', ZEN3, load);
  within(plan.memoryBytes, 2_695_938_048, 0.2);
  within(plan.tokensPerSecond, 248, 0.5);
});

it('plans the memory and time that training every weight took with our own kernels', () => {
  // two cores of Zen 4, int8 without AMX (bench/results/train-full.json)
  const zen4 = { ...ZEN3, bandwidth: 48e9, float32: 179e9, int8: 405e9, own: { products: 650e9, others: 375e9 } };
  const plan = planTraining(size('smollm2-135m-instruct'), 'full', zen4, { batchTokens: 1024, length: 256, rank: 8 });
  within(plan.memoryBytes, 3_690_000_000, 0.1);
  within(plan.tokensPerSecond, 761, 0.2);
});

it('plans the memory that llama.cpp took for SmolLM2 (bench/plan.ts)', () => {
  const measured: [type: string, users: number, megabytes: number][] = [
    ['f16', 1, 426],
    ['f16', 8, 595],
    ['q8_0', 1, 302],
    ['q8_0', 8, 530],
    ['q4_0', 1, 309],
    ['q4_0', 8, 540],
  ];
  for (const [type, users, megabytes] of measured) {
    const plan = planServing(size('smollm2-135m-instruct'), type, ZEN3, { users, context: 1024 });
    within(plan.memoryBytes, megabytes * 1e6, 0.2);
  }
});

it('reads a share of the experts for one user, and nearly all for many', () => {
  const step = (users: number) => {
    const plan = planServing(size('qwen3-30b-a3b'), 'q8_0', ZEN3, { users, context: 1 });
    return plan.time.find(({ name }) => name === 'read weights')!.value;
  };
  expect(step(1)).toBeLessThan(step(64) / 5);
  expect(step(64)).toBeLessThan(step(4096) * 1.01);
});
