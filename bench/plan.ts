// The plan against what SmolLM2 takes on this machine: memory and time of serving in three precisions. Usage: tsx bench/plan.ts
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CONFIGS } from '../src/catalog/configs.ts';
import { resolveModel } from '../src/catalog/resolve.ts';
import { findDevice } from '../src/cli/plan/device.ts';
import { modelSize } from '../src/cli/plan/model-size.ts';
import { planServing } from '../src/cli/plan/serving.ts';
import { formatTable } from '../src/cli/table.ts';
import { writeGgufModel } from '../src/compress/write-gguf-model.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { sharedSize } from '../src/serve/engine/shared-size.ts';
import { Batch } from '../src/serve/llama/batch.ts';
import { LlamaContext } from '../src/serve/llama/context.ts';
import { loadLlama } from '../src/serve/llama/library.ts';
import { loadModel } from '../src/serve/llama/model.ts';

const STUDENT = 'smollm2-135m-instruct';
const CONTEXT = 1024;
const THREADS = 2;

interface Measured {
  memoryBytes: number;
  stepSeconds: number;
  promptTokensPerSecond: number;
}

/** In a process of its own, so that its memory is its own; the best of many steps, as others only ever slow one down. */
function measure(path: string, users: number): Measured {
  const llama = loadLlama();
  const model = loadModel(llama, path);
  const options = { contextTokens: CONTEXT, sequences: users, threads: THREADS, batchTokens: 512, outputs: users };
  const context = new LlamaContext(llama, model, options);
  const batch = new Batch(llama, 512);
  const decode = (tokens: [position: number, user: number][], at = context): number => {
    batch.clear();
    tokens.forEach(([position, user], i) => {
      batch.add(100 + (i % 400), position, user, i >= tokens.length - users);
    });
    const started = performance.now();
    at.decode(batch);
    return (performance.now() - started) / 1000;
  };
  const best = (times: number, run: (i: number) => number) =>
    Math.min(...Array.from({ length: times }, (_, i) => run(i)));
  const prompt = best(4, () => {
    context.cutBack(0, 0);
    return decode(Array.from({ length: 256 }, (_, i) => [i, 0]));
  });
  for (let user = 0; user < users; user++) {
    context.cutBack(user, 0);
    for (const half of [0, 256]) decode(Array.from({ length: 256 }, (_, i) => [half + i, user]));
  }
  // the cache that answers behind a common prefix share lies beside those of the users
  const size = sharedSize(CONTEXT, users);
  if (size) {
    const shared = new LlamaContext(llama, model, { ...options, sharedTokens: size.cells });
    for (const half of [0, 256])
      decode(
        Array.from({ length: 256 }, (_, i) => [half + i, 0]),
        shared,
      );
  }
  const step = best(60, (i) => decode(Array.from({ length: users }, (_, user) => [512 + i, user])));
  return {
    memoryBytes: process.resourceUsage().maxRSS * 1024,
    stepSeconds: step,
    promptTokensPerSecond: 256 / prompt,
  };
}

async function compare(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cupel-plan-'));
  const device = await findDevice('this');
  const base = openCheckpoint((await resolveModel(STUDENT)).path);
  const rows = [['', 'memory', 'planned', 'step', 'planned', 'prompt tokens/s', 'planned']];
  for (const type of ['f16', 'q8_0', 'q4_0']) {
    const path = join(folder, `${type}.gguf`);
    writeGgufModel(path, base, { type, weights: base.weights });
    for (const users of [1, 8]) {
      const self = fileURLToPath(import.meta.url);
      const out = execFileSync(process.execPath, ['--import', 'tsx', self, path, String(users)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const measured: Measured = JSON.parse(out);
      const plan = planServing(modelSize(CONFIGS[STUDENT]), type, device, { users, context: CONTEXT });
      const pair = (value: number, planned: number, unit: string) => [
        `${value.toFixed(value < 100 ? 1 : 0)}${unit}`,
        `${planned.toFixed(planned < 100 ? 1 : 0)}${unit} (${planned >= value ? '+' : ''}${(100 * (planned / value - 1)).toFixed(0)}%)`,
      ];
      rows.push([
        `${type}, ${users} users`,
        ...pair(measured.memoryBytes / 1e6, plan.memoryBytes / 1e6, ' MB'),
        ...pair(measured.stepSeconds * 1e3, plan.stepSeconds * 1e3, ' ms'),
        ...pair(measured.promptTokensPerSecond, plan.promptTokensPerSecond, ''),
      ]);
    }
  }
  base.close();
  rmSync(folder, { recursive: true });
  process.stdout.write(`${formatTable(rows)}\n`);
}

const [path, users] = process.argv.slice(2);
if (path) process.stdout.write(JSON.stringify(measure(path, Number(users))));
else await compare();
