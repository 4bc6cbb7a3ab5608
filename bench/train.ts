// Speed and memory of a training step beside PyTorch: SmolLM2-135M, LoRA (PEFT, rank 8 on all projections) or full, in alternating rounds.
//   BENCH_PYTHON=/path/to/python npm run bench:train [-- lora|full [ROUNDS [BATCH [LENGTH]]]]
// What `--engine auto` takes: for adapters OpenVINO where there is bfloat16, else ONNX Runtime; for every weight Cupel's own kernels where
// AVX-512 has bfloat16, in bf16 with AMX and in int8 without. BENCH_PYTHON has torch, transformers and peft; without it only our side runs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { computesBfloat16, instructionSets } from '../src/base/processor.ts';
import { hasWheel, OPENVINO } from '../src/catalog/library.ts';
import { formatTable } from '../src/cli/table.ts';
import { whyNoBf16 } from '../src/runtime/bf16/library.ts';

interface Measured {
  readonly stepSeconds: number;
  readonly tokensPerSecond: number;
  readonly peakBytes: number;
  readonly versions?: Record<string, string>;
}

const STEPS = 10;
/** bfloat16 takes minutes a step where the processor does not have it: there one step of full training, and no side longer than this. */
const MOST_SECONDS = 120;
const given = process.argv.slice(2);
const full = given[0] === 'full';
const numbers = /^(lora|full)$/.test(given[0] ?? '') ? given.slice(1) : given;
const [rounds, batch, length] = [3, 4, 256].map((usual, i) => Number(numbers[i] ?? usual));
const threads = availableParallelism();
const bfloat16 = computesBfloat16(instructionSets());
const python = process.env.BENCH_PYTHON;
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const ours = (kind: string) => [process.execPath, '--import', 'tsx', file('train/ours.ts'), kind];
const peer = (kind: string) => [python!, file('train/peft_lora.py'), kind];
/** Each side with its command and the steps after the first. */
const oursSides: Record<string, [string[], number]> = full
  ? {
      ...(hasWheel(OPENVINO)
        ? { 'cupel full int8, OpenVINO': [ours('openvino-full-int8'), STEPS] as [string[], number] }
        : {}),
      'cupel full int8': [ours('full-int8'), STEPS],
      'cupel full float32': [ours('full-float32'), STEPS],
      // beside PyTorch's, as the machine's speed changes from minute to minute
      ...(whyNoBf16()
        ? {}
        : {
            'cupel full bf16': [ours('bf16-full-float32'), STEPS] as [string[], number],
            'cupel full int8, own kernels': [ours('bf16-full-int8'), STEPS] as [string[], number],
          }),
    }
  : {
      ...(hasWheel(OPENVINO) ? { 'cupel int8, OpenVINO': [ours('openvino-int8'), STEPS] as [string[], number] } : {}),
      'cupel int8, ONNX Runtime': [ours('int8'), STEPS],
    };
const peerSides: Record<string, [string[], number]> = full
  ? {
      'PyTorch full bfloat16': [peer('full-bfloat16'), bfloat16 ? STEPS : 0],
      'PyTorch full float32': [peer('full-float32'), STEPS],
      // as ours: weights and moments in float32, products in fewer bits
      'PyTorch full autocast': [peer('full-autocast'), bfloat16 ? STEPS : 0],
    }
  : { 'PEFT bfloat16': [peer('bfloat16'), STEPS], 'PEFT float32': [peer('float32'), STEPS] };
const OURS = Object.keys(oursSides);
const PEERS = python ? Object.keys(peerSides) : [];
const sides = { ...oursSides, ...(python ? peerSides : {}) };

/** Each in a process of its own, so that its memory is its own. */
function measure([[program, ...args], steps]: [string[], number]): Measured | 'over' {
  const sizes = [batch, length, steps, threads].map(String);
  try {
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    const out = execFileSync(program, [...args, ...sizes], {
      encoding: 'utf8',
      stdio: [...stdio],
      timeout: 1000 * MOST_SECONDS,
    });
    return JSON.parse(out.trim().split('\n').at(-1)!) as Measured;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ETIMEDOUT') return 'over';
    throw error;
  }
}

const measured: Record<string, Measured[]> = Object.fromEntries(Object.keys(sides).map((side) => [side, []]));
/** Sides that did not come to an end in time; they are not asked again. */
const tooSlow = new Set<string>();
for (let round = 0; round < rounds; round++) {
  // in turn, so that what else the machine does hits all of them
  for (const [side, command] of Object.entries(sides)) {
    process.stderr.write(`round ${round + 1} of ${rounds}: ${side}\n`);
    if (tooSlow.has(side)) continue;
    const run = measure(command);
    if (run === 'over') tooSlow.add(side);
    else measured[side].push(run);
  }
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
const spread = (values: readonly number[], digits: number) => {
  const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)];
  return `${middle.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
};
/** Round by round: what happened in one round happened to all. */
const ratios = (one: string, other: string, key: 'tokensPerSecond' | 'peakBytes') =>
  spread(
    measured[one].map((run, round) => run[key] / measured[other][round][key]),
    2,
  );
const column = (runs: readonly Measured[], key: 'tokensPerSecond' | 'peakBytes', unit: number, digits: number) =>
  spread(
    runs.map((run) => run[key] / unit),
    digits,
  );
const rows = Object.entries(measured).map(([side, runs]) =>
  tooSlow.has(side)
    ? [side, `over ${MOST_SECONDS} s`, 'not measured']
    : [side, column(runs, 'tokensPerSecond', 1, 0), column(runs, 'peakBytes', 1e9, 2)],
);
const compared = OURS.flatMap((one) =>
  PEERS.filter((other) => !tooSlow.has(one) && !tooSlow.has(other)).map((other) => [
    `${one} / ${other}`,
    ratios(one, other, 'tokensPerSecond'),
    ratios(one, other, 'peakBytes'),
  ]),
);
console.log(`${threads} threads of ${cpus()[0]?.model.trim()}, Node ${process.version}; medians of ${rounds} rounds`);
console.log(formatTable([[`${batch} x ${length} tokens`, 'tokens/s', 'peak memory GB'], ...rows, ...compared]));
if (!python) console.log('set BENCH_PYTHON to a Python with torch, transformers and peft to compare');

const folder = new URL('results/', import.meta.url);
mkdirSync(folder, { recursive: true });
const record = {
  date: new Date().toISOString(),
  cpu: cpus()[0]?.model.trim(),
  threads,
  versions: { node: process.version, ...Object.values(measured).flat().at(-1)?.versions },
  batch,
  length,
  rounds,
  steps: STEPS,
  overSeconds: Object.fromEntries([...tooSlow].map((side) => [side, MOST_SECONDS])),
  measured,
};
writeFileSync(new URL(full ? 'train-full.json' : 'train.json', folder), `${JSON.stringify(record, null, 2)}\n`);
