// Gate, verify and serve from outside: exit codes, and a model that is refused after one byte of it is changed.
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runStage } from '../src/artifacts/store.ts';
import { sha256File } from '../src/base/hash.ts';
import { toJsonl } from '../src/base/jsonl.ts';
import type { Example } from '../src/chat/messages.ts';
import { evaluate } from '../src/evaluate/evaluate.ts';

const BIN = fileURLToPath(new URL('../bin/cupel.mjs', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'cupel-gate-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const model = join(root, 'student.gguf');
const workspace = join(root, 'ws');
const proof = `${model}.proof.json`;

function cupel(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, CUPEL_CONFIG: join(root, 'config') };
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], { cwd: root, env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const gate = (...more: string[]) => cupel('gate', model, '-q', '-w', workspace, '--machine-hour', '0.01', ...more);

const row = (i: number): Example => ({
  id: `row-${i}`,
  line: i + 1,
  model: 'gpt-4o',
  usage: { prompt_tokens: 900, completion_tokens: 40 },
  tags: { intent: i % 2 ? 'odd' : 'even' },
  messages: [
    { role: 'user', content: `number ${i}` },
    { role: 'assistant', content: ['red', 'green'][i % 2] },
  ],
});

/** An evaluation of `model` by the real stage, the answers given by a stand-in that is wrong on every twentieth odd number. */
beforeAll(async () => {
  writeFileSync(model, 'GGUF, as good as any');
  const rows = Array.from({ length: 400 }, (_, i) => row(i));
  const dataset = await runStage({
    workspace,
    stage: 'import',
    stageVersion: 1,
    inputs: {},
    options: {},
    build: async (folder) => {
      writeFileSync(join(folder, 'test.jsonl'), toJsonl(rows));
      return {};
    },
  });
  const answer = (i: number) => (i % 40 === 1 ? 'blue' : ['red', 'green'][i % 2]);
  const completer = {
    name: 'stand-in',
    concurrency: 4,
    complete: async ({ messages }: { messages: Example['messages'] }) => ({
      text: answer(Number(String(messages[0].content).split(' ')[1])),
      finishReason: 'stop' as const,
      promptTokens: 3,
      completionTokens: 1,
      seconds: 0.001,
    }),
    close: async () => {},
  };
  await runStage({
    workspace,
    stage: 'evaluate',
    stageVersion: 1,
    inputs: { model: `sha256:${await sha256File(model)}`, dataset: dataset.manifest.key },
    options: {},
    build: (folder) =>
      evaluate({
        dataset: dataset.path,
        completer,
        countTokens: (text) => text.length,
        folder,
        options: { scorer: 'exact' },
      }),
  });
});

test('a model without a proof is not served', async () => {
  expect(await cupel('serve', model, '--port', '0')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/unproven/),
  });
});

test('the gate signs what it finds: not proven with a broken floor, exit code 3', async () => {
  const { code, stdout } = await gate('--floor', 'intent=odd:0.96');
  expect(code).toBe(3);
  expect(stdout).toMatch(/BROKEN +intent=odd: score +0\.950 +0\.960 +200/);
  expect(await cupel('verify', proof)).toMatchObject({
    code: 3,
    stdout: expect.stringMatching(/NOT VALID.*not proven/s),
  });
});

test('a floors file that guards nothing is refused, with the field that is wrong', async () => {
  const floors = join(root, 'misspelt.json');
  writeFileSync(floors, JSON.stringify({ slices: [{ tag: 'intent', value: 'odd', scor: 0.95 }] }));
  const { code, stderr } = await gate('--floors', floors);
  expect(code).toBe(2);
  expect(stderr).toMatch(/misspelt\.json: slices\.0: not a floors file: .*"scor"/);
});

test('an evaluation without its dataset proves nothing, and says what is missing', async () => {
  const elsewhere = join(root, 'elsewhere');
  for (const name of readdirSync(join(workspace, 'artifacts')).filter((name) => name.startsWith('evaluate')))
    cpSync(join(workspace, 'artifacts', name), join(elsewhere, 'artifacts', name), { recursive: true });
  expect(await cupel('gate', model, '-q', '-w', elsewhere)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/the dataset that it was evaluated on is not in this workspace/),
  });
});

test('with its floors kept the model is proven, and one changed byte ends that', async () => {
  const floors = join(root, 'floors.json');
  writeFileSync(floors, JSON.stringify({ slices: [{ tag: 'intent', value: 'odd', score: 0.95 }] }));
  const { code, stdout } = await gate('--floors', floors, '--json');
  expect(JSON.parse(stdout)).toMatchObject({ verdict: 'proven', quality: { n: 400, ratio: 0.975 }, looks: 0 });
  expect(code).toBe(0);
  const valid = await cupel('verify', proof, '--json');
  expect(JSON.parse(valid.stdout)).toMatchObject({ valid: true, signer: { trusted: true } });
  expect(valid.code).toBe(0);
  // past the proof, what fails is that this is no model
  expect(await cupel('serve', model, '--port', '0')).toMatchObject({
    code: 1,
    stderr: expect.not.stringMatching(/unproven/),
  });

  // an adapter makes another model of it
  expect(await cupel('serve', model, '--adapter', `tuned=${root}`, '--port', '0')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/an adapter changes what the proof/),
  });

  const bytes = readFileSync(model);
  bytes[7] ^= 1;
  writeFileSync(model, bytes);
  expect(await cupel('verify', proof)).toMatchObject({
    code: 3,
    stdout: expect.stringMatching(/another file: SHA-256/),
  });
  expect(await cupel('serve', model, '--port', '0')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/another file/),
  });
  expect(await gate()).toMatchObject({ code: 2, stderr: expect.stringMatching(/not evaluated/) });
});
