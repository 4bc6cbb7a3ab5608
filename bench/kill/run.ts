// One training run that bench/kill.ts kills: tsx bench/kill/run.ts DATASET STUDENT FOLDER STEPS [OPENVINO]. Tells the steps made.
import { DISTILL_DEFAULTS, distill } from '../../src/distill/distill.ts';

const [dataset, student, folder, steps, openvino] = process.argv.slice(2);
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
    ...(openvino ? { engine: 'openvino' } : {}),
    budgetSeconds: 0.5,
    steps: Number(steps),
    patience: 1000,
  },
  progress: ({ done }) => {
    if (done !== undefined) process.stdout.write(`${done}\n`);
  },
});
