// Our side of bench/train.ts, in a process of its own: LoRA or full steps on SmolLM2-135M. Prints one line of JSON.
//   tsx bench/train/ours.ts [openvino-|bf16-][full-]int8|int4|float32[-recomputeN] BATCH LENGTH STEPS THREADS
import { Random } from '../../src/base/random.ts';
import { OPENVINO, resolveLibrary } from '../../src/catalog/library.ts';
import { resolveModel } from '../../src/catalog/resolve.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { familyOf } from '../../src/models/families.ts';
import { alignedCopy } from '../../src/runtime/aligned.ts';
import { Crew } from '../../src/train/crew.ts';
import type { Precision } from '../../src/train/frozen.ts';
import { fullLayout } from '../../src/train/full.ts';
import { fullPrecision, narrowPrecision, openFullTrainer } from '../../src/train/full-trainer.ts';
import { loraLayout } from '../../src/train/lora.ts';
import { globalNorm, makeOptimiser } from '../../src/train/optimiser.ts';
import type { Sample } from '../../src/train/sample.ts';
import { int8Precision, openTrainer, planPacking } from '../../src/train/trainer.ts';

const [kind, ...sizes] = process.argv.slice(2);
const [batch, length, steps, threads] = sizes.map(Number);
const targets = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const student = openCheckpoint((await resolveModel('smollm2-135m-instruct')).path);
const family = familyOf(student.config);
const config = family.parseConfig(student.config);
const lora = loraLayout(family.weightShapes(config), { rank: 8, alpha: 16, targets });
const random = new Random(1);
// the last quarter of a row carries the loss; a first token of its own keeps rows from sharing a prefix
const samples: Sample[] = Array.from({ length: batch * (steps + 2) }, (_, row) => ({
  ids: Int32Array.from({ length }, (_, at) => (at === 0 ? 100 + row : random.below(config.vocabularySize))),
  answers: [{ start: (length * 3) / 4, end: length }],
}));
const compiled = kind.startsWith('openvino-');
const bf16 = kind.startsWith('bf16-') ? {} : undefined;
const full = /^(openvino-|bf16-)?full-/.test(kind);
const openvino = compiled ? { folder: await resolveLibrary(OPENVINO) } : undefined;
const lanes = full || bf16 ? 1 : threads;
const packing = planPacking(samples, batch * length, lanes);
const width = kind.replace(/^(openvino-|bf16-)?(full-)?/, '');
const common = {
  base: { family, config, weights: student.weights },
  recompute: Number(kind.match(/recompute(\d+)$/)?.[1] ?? 0),
  weighting: 'token',
  seed: 1,
  runtime: { threads, lanes, openvino, bf16 },
} as const;
const precision: Precision = width.startsWith('int8')
  ? await int8Precision({ threads })
  : { kind: width.startsWith('int4') ? 'int4' : 'float32' };
const checking = planPacking(samples.slice(0, batch), batch * length);
const layout = fullLayout(family.weightShapes(config));
const trainer = full
  ? await openFullTrainer(packing, checking, {
      ...common,
      layout,
      precision: bf16 && width.startsWith('int8') ? narrowPrecision() : fullPrecision(precision),
    })
  : await openTrainer(packing, checking, {
      ...common,
      lora,
      precision,
    });
student.close();
const told = (what: string) =>
  process.env.BENCH_MEMORY &&
  console.error(what, (process.memoryUsage().rss / 1e6).toFixed(0), (process.resourceUsage().maxRSS / 1e3).toFixed(0));
told('open');
const theta = alignedCopy(trainer.initial);
const crew = new Crew(threads);
const optimiser = makeOptimiser('adamw', theta.length, crew);
const seconds: number[] = [];
let tokens = 0;
for (let step = 0; step <= steps; step++) {
  const started = performance.now();
  const result = await trainer.step(theta, step);
  optimiser.update(theta, result.gradient, 1e-4, result.norm ?? globalNorm(result.gradient, crew));
  seconds.push((performance.now() - started) / 1000);
  tokens = result.tokens;
  told(`step ${step}`);
}
const peakBytes = process.resourceUsage().maxRSS * 1024;
await trainer.close();
// the first step allocates
const stepSeconds = seconds.slice(1).toSorted((a, b) => a - b)[steps >> 1];
console.log(JSON.stringify({ stepSeconds, tokensPerSecond: tokens / stepSeconds, peakBytes }));
