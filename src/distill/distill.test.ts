import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openvinoFolder } from '../../test/openvino.ts';
import { writeTinyStudent } from '../../test/tiny-student.ts';
import type { ProgressEvent } from '../base/progress.ts';
import { compress } from '../compress/compress.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { readPeft } from '../formats/peft.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import { DISTILL_DEFAULTS, type DistillOptions, distill } from './distill.ts';

const ENGINES = openvinoFolder ? (['onnxruntime', 'openvino'] as const) : (['onnxruntime'] as const);
const COLOURS = ['red', 'blue', 'green'];
let root: string;
let student: string;
let dataset: string;

const row = (i: number) => ({
  id: `r${i}`,
  line: i + 1,
  messages: [
    { role: 'system', content: 'colour of' },
    { role: 'user', content: `thing ${i}` },
    { role: 'assistant', content: COLOURS[i % 3] },
  ],
});
const rows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${JSON.stringify(row(from + i))}\n`).join('');

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cupel-distill-'));
  student = join(root, 'tiny.gguf');
  writeTinyStudent(student);
  dataset = join(root, 'dataset');
  mkdirSync(dataset);
  writeFileSync(join(dataset, 'train.jsonl'), rows(0, 30));
  writeFileSync(join(dataset, 'calibration.jsonl'), rows(30, 39));
});

function run(
  name: string,
  options: Partial<DistillOptions> = {},
  more: { controller?: AbortController; data?: string } = {},
) {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  const events: ProgressEvent[] = [];
  const small = { rank: 4, alpha: 8, batchTokens: 256, steps: 12, learningRate: 0.02, warmupSteps: 2, seed: 3 };
  const promise = distill({
    dataset: more.data ?? dataset,
    student,
    openvino: openvinoFolder,
    options: { ...DISTILL_DEFAULTS, ...small, ...options },
    folder,
    signal: more.controller?.signal,
    progress: (event) => {
      events.push(event);
      if (event.done === 5) more.controller?.abort(new Error('enough'));
    },
  });
  return { folder, events, promise };
}

describe('distill', () => {
  test('learns, and writes a PEFT adapter, the losses and the facts', async () => {
    const { folder, events, promise } = run('learns', { precision: 'float32', steps: 40 });
    const facts = await promise;
    const losses = readFileSync(join(folder, 'losses.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(losses).toHaveLength(40);
    expect(losses.at(-1).loss).toBeLessThan(losses[0].loss / 2);
    expect(facts.validationLoss).toBeLessThan(losses[0].loss / 2);
    expect(facts.conversations).toEqual({ train: 30, validation: 9 });
    const adapter = readPeft(folder);
    expect(adapter.pairs.size).toBe(14);
    expect([...adapter.pairs.values()].reduce((n, { A, B }) => n + A.length + B.length, 0)).toBe(facts.parameters);
    expect(events.some(({ message }) => message?.startsWith('plan: about'))).toBe(true);
    expect(events.findLast(({ done }) => done !== undefined)).toMatchObject({ done: 40, total: 40, secondsLeft: 0 });
  });

  test('int8 follows float32', async () => {
    const exact = await run('float32', { precision: 'float32' }).promise;
    const coarse = await run('int8', { precision: 'int8' }).promise;
    expect(coarse.precision).toMatch(/^int8/);
    expect(Math.abs(coarse.validationLoss / exact.validationLoss - 1)).toBeLessThan(0.05);
  });

  test.each(ENGINES)('with %s an interrupted run goes on to the very bytes of one that was not', async (engine) => {
    const fixed = { steps: 80, engine };
    const whole = run(`whole ${engine}`, fixed);
    expect((await whole.promise).engine).toContain(engine);
    const controller = new AbortController();
    const first = run(`broken ${engine}`, fixed, { controller });
    await expect(first.promise).rejects.toThrow('enough');
    expect(existsSync(join(first.folder, 'adapter_model.safetensors'))).toBe(false);
    expect(readdirSync(join(first.folder, '.checkpoints')).length).toBeGreaterThan(0);
    await run(`broken ${engine}`, fixed).promise;
    const adapter = (folder: string) => readFileSync(join(folder, 'adapter_model.safetensors'));
    expect(adapter(first.folder).equals(adapter(whole.folder))).toBe(true);
  });

  test.skipIf(!openvinoFolder)('OpenVINO follows ONNX Runtime', async () => {
    const usual = await run('usual engine', { steps: 30 }).promise;
    const compiled = await run('compiled', { steps: 30, engine: 'openvino' }).promise;
    expect(usual.engine).toBe('onnxruntime');
    expect(Math.abs(compiled.validationLoss / usual.validationLoss - 1)).toBeLessThan(0.05);
  });

  test('an engine without its libraries is refused', async () => {
    const folder = join(root, 'no libraries');
    mkdirSync(folder);
    const options = { ...DISTILL_DEFAULTS, steps: 2, engine: 'openvino' } as const;
    await expect(distill({ dataset, student, options, folder })).rejects.toThrow(/nobody said where its libraries are/);
  });

  test.each([
    ['chosen tokens, 8-bit moments, two batches a step', { selectTokens: 0.6, optimiser: 'adamw8bit', accumulate: 2 }],
    ['one layer at a time', { layersPerStep: 1, layerSteps: 3, learningRate: 0.03 }],
  ] as const)('%s: learns, and goes on to the very bytes', async (name, options) => {
    const fixed = { steps: 24, ...options };
    const whole = run(`${name} whole`, fixed);
    const { validationLoss } = await whole.promise;
    const losses = readFileSync(join(whole.folder, 'losses.jsonl'), 'utf8').trim().split('\n');
    expect(validationLoss).toBeLessThan(0.8 * JSON.parse(losses[0]).loss);
    const controller = new AbortController();
    const broken = run(`${name} broken`, fixed, { controller });
    await expect(broken.promise).rejects.toThrow('enough');
    await run(`${name} broken`, fixed).promise;
    const adapter = (folder: string) => readFileSync(join(folder, 'adapter_model.safetensors'));
    expect(adapter(broken.folder).equals(adapter(whole.folder))).toBe(true);
  });

  test('every weight on plain text: a model folder that learned by heart, that opens, and that compress exports', async () => {
    const text = join(root, 'text.txt');
    writeFileSync(text, 'the cat sat on the mat and the dog sat on the log. '.repeat(60));
    const folder = join(root, 'full');
    mkdirSync(folder);
    const options = { full: true, optimiser: 'adamw8bit', maxTokens: 64, batchTokens: 256, steps: 30 } as const;
    const more = { learningRate: 0.005, warmupSteps: 2 };
    const facts = await distill({ text, student, folder, options: { ...DISTILL_DEFAULTS, ...options, ...more } });
    const [first] = readFileSync(join(folder, 'losses.jsonl'), 'utf8').split('\n');
    expect(facts.validationLoss).toBeLessThan(JSON.parse(first).loss / 3);
    expect(facts.precision).toMatch(/^int8/);
    const model = openCheckpoint(folder);
    const before = openCheckpoint(student);
    expect([...model.weights.names()].toSorted()).toEqual([...before.weights.names()].toSorted());
    const name = 'model.layers.0.mlp.up_proj.weight';
    expect(model.weights.read(name)).not.toEqual(before.weights.read(name));
    const { files } = await compress({ base: model, types: ['q8_0'], folder });
    expect(files[0].bytes).toBeGreaterThan(50_000);
    model.close();
    before.close();
  });

  test.each(ENGINES)(
    'every weight in int8, %s: follows float32, and an interrupted run goes on to the very bytes',
    async (engine) => {
      const fixed = { full: true, optimiser: 'adamw8bit', steps: 40, learningRate: 0.005 } as const;
      const exact = await run(`full float32 ${engine}`, { ...fixed, precision: 'float32' }).promise;
      expect(exact.precision).toBe('float32');
      const whole = run(`full whole ${engine}`, { ...fixed, engine });
      const coarse = await whole.promise;
      expect(coarse.precision).toMatch(/^int8/);
      expect(coarse.engine).toMatch(new RegExp(`^${engine}`));
      expect(Math.abs(coarse.validationLoss - exact.validationLoss)).toBeLessThan(0.05);
      const controller = new AbortController();
      const broken = run(`full broken ${engine}`, { ...fixed, engine }, { controller });
      await expect(broken.promise).rejects.toThrow('enough');
      expect(existsSync(join(broken.folder, 'model.safetensors'))).toBe(false);
      await run(`full broken ${engine}`, { ...fixed, engine }).promise;
      const model = (folder: string) => readFileSync(join(folder, 'model.safetensors'));
      expect(model(broken.folder).equals(model(whole.folder))).toBe(true);
    },
  );

  test.skipIf(whyNoBf16()).each(['bf16', 'int8'] as const)(
    "every weight in %s by Cupel's own kernels: follows float32, and an interrupted run goes on to the very bytes",
    async (precision) => {
      const fixed = { full: true, optimiser: 'adamw8bit', steps: 40, learningRate: 0.005 } as const;
      const exact = await run(`full exact ${precision}`, { ...fixed, precision: 'float32' }).promise;
      const own = { ...fixed, precision, engine: 'cupel' } as const;
      const whole = run(`full ${precision} whole`, { ...own, profile: true });
      const facts = await whole.promise;
      expect(facts.precision).toMatch(new RegExp(`^${precision}`));
      expect(facts.engine).toMatch(/^cupel/);
      expect(facts.profile?.some(({ op }) => op.startsWith('product'))).toBe(true);
      expect(Math.abs(facts.validationLoss - exact.validationLoss)).toBeLessThan(0.03);
      const controller = new AbortController();
      const broken = run(`full ${precision} broken`, own, { controller });
      await expect(broken.promise).rejects.toThrow('enough');
      await run(`full ${precision} broken`, own).promise;
      const model = (folder: string) => readFileSync(join(folder, 'model.safetensors'));
      expect(model(broken.folder).equals(model(whole.folder))).toBe(true);
    },
  );

  test('every weight in 4 bits is refused', async () => {
    const { promise } = run('full int4', { full: true, precision: 'int4' });
    await expect(promise).rejects.toMatchObject({ remedy: expect.stringContaining('int8') });
  });

  test('a text too short for two pieces is an error', async () => {
    const text = join(root, 'short.txt');
    writeFileSync(text, 'short');
    const job = { text, student, folder: join(root, 'short'), options: { ...DISTILL_DEFAULTS, full: true, steps: 1 } };
    await expect(distill(job)).rejects.toMatchObject({ remedy: expect.stringContaining('--max-length') });
  });

  test('a dataset without a calibration split holds some conversations out', async () => {
    const data = join(root, 'uncalibrated');
    mkdirSync(data);
    writeFileSync(join(data, 'train.jsonl'), rows(0, 20));
    writeFileSync(join(data, 'calibration.jsonl'), '');
    const facts = await run('uncalibrated-run', { steps: 2 }, { data }).promise;
    expect(facts.conversations).toEqual({ train: 18, validation: 2 });
  });

  test('conversations that are all too long are an error that names the setting', async () => {
    await expect(run('long', { maxTokens: 20 }).promise).rejects.toMatchObject({
      name: 'CupelError',
      remedy: expect.stringContaining('--max-length'),
    });
  });

  test('a projection that the model does not have is named', async () => {
    await expect(run('targets', { targets: ['w_pack'] }).promise).rejects.toThrow(/no module named w_pack/);
  });
});
