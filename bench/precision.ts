// What int8 costs in quality: the same training run on the example in int8 and in float32, validation losses side by side.
//   npm run bench:precision [-- STEPS]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hasWheel, OPENVINO, resolveLibrary } from '../src/catalog/library.ts';
import { resolveModel } from '../src/catalog/resolve.ts';
import { drawProgress } from '../src/cli/progress.ts';
import { formatTable } from '../src/cli/table.ts';
import { importTraces } from '../src/curate/import.ts';
import { DISTILL_DEFAULTS, distill } from '../src/distill/distill.ts';
import type { Engine } from '../src/distill/options.ts';

const steps = Number(process.argv[2] ?? 60);
const example = (name: string) => fileURLToPath(new URL(`../examples/support-desk/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cupel-precision-'));
const { progress, end } = drawProgress(process.stderr);
const student = await resolveModel('smollm2-135m-instruct', { progress });
const dataset = join(folder, 'dataset');
mkdirSync(dataset);
await importTraces({
  traces: example('traffic.jsonl'),
  test: example('test.jsonl'),
  options: { calibrationShare: 80 / 520 },
  folder: dataset,
});

const openvino = hasWheel(OPENVINO) ? await resolveLibrary(OPENVINO, { progress }) : undefined;

async function run(precision: 'int8' | 'float32', engine: Engine = 'onnxruntime') {
  const out = join(folder, `${precision}-${engine}`);
  mkdirSync(out);
  const options = { ...DISTILL_DEFAULTS, precision, steps, engine };
  const { validationLoss, validationExact, tokensPerSecond, memory } = await distill({
    dataset,
    openvino,
    student: student.path,
    options,
    folder: out,
    progress,
  });
  return { precision, engine, validationLoss, validationExact, tokensPerSecond, peakBytes: memory.peak };
}

const exact = await run('float32');
const runs = [exact, await run('int8'), ...(openvino ? [await run('int8', 'openvino')] : [])];
end();
rmSync(folder, { recursive: true, force: true });
const rows = runs.map(({ precision, engine, validationLoss, validationExact, tokensPerSecond }) => [
  `${precision}, ${engine}`,
  validationLoss.toFixed(4),
  (validationLoss / exact.validationLoss).toFixed(3),
  `${(100 * validationExact).toFixed(0)}%`,
  tokensPerSecond.toFixed(0),
]);
console.log(formatTable([[`${steps} steps`, 'validation loss', 'of float32', 'exact answers', 'tokens/s'], ...rows]));
const results = new URL('results/', import.meta.url);
mkdirSync(results, { recursive: true });
const record = {
  date: new Date().toISOString(),
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  steps,
  runs,
};
writeFileSync(new URL('precision.json', results), `${JSON.stringify(record, null, 2)}\n`);
