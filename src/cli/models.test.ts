// `cupel models` as a person calls it: the catalog, a file looked into, conversions there and back, what is refused.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, expect, it, vi } from 'vitest';
import { writeTinyStudent } from '../../test/tiny-student.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { register } from './models.ts';

const home = mkdtempSync(join(tmpdir(), 'cupel-models-'));
afterAll(() => rmSync(home, { recursive: true }));
const at = (name: string) => join(home, name);
writeTinyStudent(at('tiny.gguf'));

/** What the command prints on stdout. */
async function run(...args: string[]): Promise<string> {
  const printed: string[] = [];
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => printed.push(String(text)) > 0);
  const progress = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  try {
    const program = new Command('cupel').exitOverride();
    register(program);
    await program.parseAsync(['node', 'cupel', 'models', ...args]);
    return printed.join('');
  } finally {
    out.mockRestore();
    progress.mockRestore();
  }
}

it('lists the catalog with licences', async () => {
  const rows = JSON.parse(await run('list', '--json'));
  expect(rows.find(({ name }: { name: string }) => name === 'qwen2-72b-instruct')).toMatchObject({
    family: 'qwen2',
    parameters: 72_706_203_648,
    licence: { name: 'tongyi-qianwen', accept: 'tongyi-qianwen' },
  });
  expect(await run('list')).toMatch(/deepseek-v2-lite-chat +deepseek_v2 +15\.71 B, 2\.66 B active/);
});

it('tells what a file is', async () => {
  const facts = JSON.parse(await run('inspect', at('tiny.gguf'), '--json'));
  expect(facts).toMatchObject({ architecture: 'llama', format: 'gguf', layers: 2, hiddenSize: 64, contextTokens: 512 });
  expect(facts.precision).toEqual([{ type: 'F32', tensors: 20, share: 1 }]);
  expect(await run('inspect', at('tiny.gguf'))).toMatch(/chat template +\d+ characters/);
});

it('converts a GGUF file to a folder and back', async () => {
  await run('convert', at('tiny.gguf'), at('folder'), '--type', 'bf16');
  expect(JSON.parse(await run('inspect', at('folder'), '--json')).precision[0].type).toBe('BF16');
  await run('convert', at('folder'), at('again.gguf'), '--type', 'q8_0');
  const [first, again] = [openCheckpoint(at('tiny.gguf')), openCheckpoint(at('again.gguf'))];
  const name = 'model.layers.1.self_attn.q_proj.weight';
  const [before, after] = [first.weights.read(name), again.weights.read(name)];
  before.forEach((value, i) => {
    expect(Math.abs(value - after[i])).toBeLessThan(0.01);
  });
  expect(again.chatTemplate).toBe(first.chatTemplate);
  expect(again.tokenizer.encode('the thing')).toEqual(first.tokenizer.encode('the thing'));
  const modelfile = readFileSync(at('again.Modelfile'), 'utf8');
  expect(modelfile).toContain('FROM ./again.gguf');
  expect(modelfile).toContain('TEMPLATE """{{ range $i, $m := .Messages }}');
  expect(modelfile).toContain('PARAMETER stop "<|im_end|>"');
});

it('does not replace what exists unless told to, nor the model it reads', async () => {
  writeFileSync(at('there.gguf'), 'mine');
  await expect(run('convert', at('tiny.gguf'), at('there.gguf'))).rejects.toThrow(/exists already/);
  expect(readFileSync(at('there.gguf'), 'utf8')).toBe('mine');
  await run('convert', at('tiny.gguf'), at('there.gguf'), '--force');
  expect(readFileSync(at('there.gguf')).subarray(0, 4).toString()).toBe('GGUF');
  await expect(run('convert', at('tiny.gguf'), at('tiny.gguf'), '--force')).rejects.toThrow(
    /is the model that is read/,
  );
});

it('refuses types that a folder cannot hold, unknown types and unknown models', async () => {
  await expect(run('convert', at('tiny.gguf'), at('other'), '--type', 'q8_0')).rejects.toThrow(/cannot hold q8_0/);
  expect(existsSync(at('other'))).toBe(false);
  await expect(run('inspect', 'no-such-model')).rejects.toThrow(/no file, folder or catalog entry/);
});
