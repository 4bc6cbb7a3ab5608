// One training run that bench/kill.ts kills: tsx bench/kill/run.ts DATASET STUDENT FOLDER STEPS ENGINE [OPENVINO]. Tells the steps made.
import { DISTILL_DEFAULTS, type DistillOptions, distill } from '../../src/distill/distill.ts';
import type { Engine } from '../../src/distill/options.ts';

const [dataset, student, folder, steps, named, openvino] = process.argv.slice(2);
const [engine, narrow] = named.split('-') as [Engine, string?];
/** Kernels of Cupel's own train every weight. */
const own: Partial<DistillOptions> =
  engine === 'cupel'
    ? { full: true, precision: narrow ? 'int8' : 'bf16', optimiser: 'adamw8bit', learningRate: 0.005 }
    : {};
const small = { rank: 4, alpha: 8, batchTokens: 256, learningRate: 0.02, warmupSteps: 2, seed: 3 };
await distill({
  dataset,
  student,
  folder,
  openvino,
  // checkpoints come every tenth of the budget: at almost every step
  options: {
    ...DISTILL_DEFAULTS,
    ...small,
    ...own,
    engine,
    budgetSeconds: 0.5,
    steps: Number(steps),
    patience: 1000,
  },
  progress: ({ done }) => {
    if (done !== undefined) process.stdout.write(`${done}\n`);
  },
});
