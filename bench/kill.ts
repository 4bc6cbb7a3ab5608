// Kills training of a tiny student with SIGKILL at random steps, resumes it, and compares its bytes with an unharmed run's.
//   tsx bench/kill.ts [KILLS [onnxruntime|openvino|cupel|cupel-int8]]; writes bench/results/kill.json, or kill-ENGINE.json; with cupel every weight
// is trained, in bf16 or int8, else adapters
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '../src/base/random.ts';
import { OPENVINO, resolveLibrary } from '../src/catalog/library.ts';
import { writeTinyStudent } from '../test/tiny-student.ts';

const STEPS = 120;
const kills = Number(process.argv[2] ?? 20);
const engine = process.argv[3] ?? 'onnxruntime';
const libraries = engine === 'openvino' ? [await resolveLibrary(OPENVINO)] : [];
const result = engine.startsWith('cupel') ? 'model.safetensors' : 'adapter_model.safetensors';
const root = mkdtempSync(join(tmpdir(), 'cupel-kill-'));
const student = join(root, 'tiny.gguf');
writeTinyStudent(student);
const row = (i: number) => ({
  id: `r${i}`,
  line: i + 1,
  messages: [
    { role: 'user', content: `colour of thing ${i}` },
    { role: 'assistant', content: ['red', 'blue', 'green'][i % 3] },
  ],
});
const rows = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `${JSON.stringify(row(from + i))}\n`).join('');
writeFileSync(join(root, 'train.jsonl'), rows(0, 30));
writeFileSync(join(root, 'calibration.jsonl'), rows(30, 39));

/** Runs until its end, or until SIGKILL `delayMs` after step `killAt`; returns the first step told and whether it was killed. */
function run(folder: string, killAt = Number.POSITIVE_INFINITY, delayMs = 0) {
  mkdirSync(folder, { recursive: true });
  const args = ['--import', 'tsx', fileURLToPath(new URL('kill/run.ts', import.meta.url)), root, student, folder];
  const child = spawn(process.execPath, [...args, String(STEPS), engine, ...libraries], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let first = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    const told = chunk.toString().trim().split('\n').map(Number);
    first ||= told[0];
    if (told.at(-1)! >= killAt) setTimeout(() => child.kill('SIGKILL'), delayMs);
  });
  return new Promise<{ first: number; killed: boolean }>((resolve, reject) =>
    child.once('close', (code, signal) => {
      if (code !== 0 && signal !== 'SIGKILL') reject(new Error(`the run ended with code ${code}`));
      else resolve({ first, killed: signal === 'SIGKILL' });
    }),
  );
}

/** The bytes of what was trained and the loss curve without its timings. */
function outcome(folder: string): string {
  const curve = readFileSync(join(folder, 'losses.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => ({ ...JSON.parse(line), tokensPerSecond: undefined }));
  return readFileSync(join(folder, result), 'hex') + JSON.stringify(curve);
}

const whole = join(root, 'whole');
await run(whole);
const random = new Random(Date.now() % 2 ** 31);
const runs: { killAt: number; killed: boolean; wentOnWith: number; equal: boolean }[] = [];
let same = 0;
let died = 0;
for (let kill = 1; kill <= kills; kill++) {
  const folder = join(root, `kill-${kill}`);
  const killAt = 1 + random.below(STEPS - 20);
  const { killed } = await run(folder, killAt, random.next() * 20);
  const { first } = await run(folder);
  const equal = outcome(folder) === outcome(whole);
  if (equal) same++;
  if (killed) died++;
  runs.push({ killAt, killed, wentOnWith: first, equal });
  console.log(
    `${kill}: ${killed ? 'killed' : 'ended before the kill'} after step ${killAt}, went on with step ${first}: ${equal ? 'the same bytes' : 'DIFFERENT'}`,
  );
}
const results = fileURLToPath(new URL('results/', import.meta.url));
mkdirSync(results, { recursive: true });
const name = engine === 'onnxruntime' ? 'kill.json' : `kill-${engine}.json`;
writeFileSync(join(results, name), `${JSON.stringify({ engine, steps: STEPS, kills, same, died, runs }, null, 2)}\n`);
rmSync(root, { recursive: true, force: true });
console.log(`${same} of ${kills} runs end with the bytes of the unharmed run; ${died} were killed while running`);
if (same !== kills || died === 0) process.exitCode = 1;
