// Speed and memory of a LoRA step beside PyTorch with PEFT: SmolLM2-135M, rank 8 on all projections, in alternating rounds.
//   BENCH_PYTHON=/path/to/python npm run bench:train [-- ROUNDS [BATCH [LENGTH]]]
// BENCH_PYTHON has torch, transformers and peft; without it only our side runs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { formatTable } from '../src/cli/table.ts';

interface Measured {
  readonly stepSeconds: number;
  readonly tokensPerSecond: number;
  readonly peakBytes: number;
  readonly versions?: Record<string, string>;
}

const STEPS = 4;
const [rounds, batch, length] = [3, 4, 256].map((usual, i) => Number(process.argv[2 + i] ?? usual));
const threads = availableParallelism();
const python = process.env.BENCH_PYTHON;
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const sizes = [batch, length, STEPS, threads].map(String);
const ours = (kind: string) => [process.execPath, '--import', 'tsx', file('train/ours.ts'), kind];
const peer = (kind: string) => [python!, file('train/peft_lora.py'), kind];
const OURS = ['cupel int8', 'cupel int8, half the layers again'];
const PEERS = python ? ['PEFT bfloat16', 'PEFT float32'] : [];
const commands = [ours('int8'), ours('int8-recompute15'), ...(python ? [peer('bfloat16'), peer('float32')] : [])];
const sides = Object.fromEntries([...OURS, ...PEERS].map((side, i) => [side, commands[i]]));

/** Each in a process of its own, so that its memory is its own. */
function measure([program, ...args]: string[]): Measured {
  const out = execFileSync(program, [...args, ...sizes], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return JSON.parse(out.trim().split('\n').at(-1)!) as Measured;
}

const measured: Record<string, Measured[]> = Object.fromEntries(Object.keys(sides).map((side) => [side, []]));
for (let round = 0; round < rounds; round++) {
  // in turn, so that what else the machine does hits all of them
  for (const [side, command] of Object.entries(sides)) {
    process.stderr.write(`round ${round + 1} of ${rounds}: ${side}\n`);
    measured[side].push(measure(command));
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
const rows = Object.entries(measured).map(([side, runs]) => [
  side,
  column(runs, 'tokensPerSecond', 1, 0),
  column(runs, 'peakBytes', 1e9, 2),
]);
const compared = OURS.flatMap((one) =>
  PEERS.map((other) => [`${one} / ${other}`, ratios(one, other, 'tokensPerSecond'), ratios(one, other, 'peakBytes')]),
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
  measured,
};
writeFileSync(new URL('train.json', folder), `${JSON.stringify(record, null, 2)}\n`);
