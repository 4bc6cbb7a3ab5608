// Sparse training against dense: time until a fixed accuracy is reached, for each way and several seeds.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeFileDurably } from '../src/base/durable.ts';
import { parseDuration } from '../src/base/duration.ts';
import type { ProgressEvent } from '../src/base/progress.ts';
import { resolveModel } from '../src/catalog/resolve.ts';
import { chooseEngine } from '../src/cli/engine.ts';
import { formatTable } from '../src/cli/table.ts';
import { importTraces } from '../src/curate/import.ts';
import { DISTILL_DEFAULTS, type DistillOptions, distill } from '../src/distill/distill.ts';
import type { Engine } from '../src/distill/options.ts';
import { percent } from '../src/report/verdict.ts';

const HELP = `npm run bench:sparse -- [TRAIN.jsonl TEST.jsonl] [options]
  --target SHARE  accuracy to reach (0.8): conversations of the calibration split whose whole answer is predicted greedily
  --budget TIME   most time of one run (4m)
  --seeds N       runs of each way (2)
  --only LIST     some of dense, rigl, tokens, layers, with commas
Without files the bundled example. Writes bench/results/sparse.json after every run.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string', default: '0.8' },
    budget: { type: 'string', default: '4m' },
    seeds: { type: 'string', default: '2' },
    only: { type: 'string', default: 'dense,rigl,tokens,layers' },
    help: { type: 'boolean', default: false },
  },
});

const WAYS: Record<string, Partial<DistillOptions>> = {
  dense: {},
  rigl: { ffnDensity: 0.75 },
  tokens: { selectTokens: 0.6 },
  layers: { layersPerStep: 10 },
};

interface Run {
  way: string;
  seed: number;
  engine: Engine;
  /** Seconds from the start of training's stage, between two validations by a straight line; null: not within the budget. */
  secondsToTarget: number | null;
  /** Best accuracy seen, and the seconds of each validation with its accuracy. */
  best: number;
  validations: [seconds: number, accuracy: number][];
  tokensPerSecond: number;
}

const target = Number(values.target);
const example = (name: string) => fileURLToPath(new URL(`../examples/support-desk/${name}`, import.meta.url));
const [train = example('traffic.jsonl'), test = example('test.jsonl')] = positionals;

async function run(way: string, seed: number, dataset: string, student: string, folder: string): Promise<Run> {
  mkdirSync(folder, { recursive: true });
  const started = performance.now();
  const validations: [number, number][] = [];
  const speeds: number[] = [];
  const reached = new AbortController();
  const progress = ({ values: seen }: ProgressEvent) => {
    if (seen?.tokensPerSecond) speeds.push(seen.tokensPerSecond);
    if (seen?.validationExact === undefined) return;
    validations.push([(performance.now() - started) / 1000, seen.validationExact]);
    if (seen.validationExact >= target) reached.abort();
  };
  const asked = { ...DISTILL_DEFAULTS, ...WAYS[way], seed, budgetSeconds: parseDuration(values.budget, '--budget') };
  const known = { precision: false, experts: false };
  const { options, openvino } = await chooseEngine('auto', asked, known, { progress, signal: reached.signal });
  try {
    await distill({ dataset, student, options, openvino, folder, progress, signal: reached.signal });
  } catch (error) {
    if (!reached.signal.aborted) throw error;
  }
  rmSync(folder, { recursive: true, force: true });
  const tokensPerSecond = speeds.toSorted((a, b) => a - b)[speeds.length >> 1] ?? 0;
  const best = Math.max(0, ...validations.map(([, accuracy]) => accuracy));
  return {
    way,
    seed,
    engine: options.engine ?? 'onnxruntime',
    secondsToTarget: crossing(validations),
    best,
    validations,
    tokensPerSecond,
  };
}

function crossing(validations: readonly [number, number][]): number | null {
  const at = validations.findIndex(([, accuracy]) => accuracy >= target);
  if (at < 0) return null;
  const [[from, low], [to, high]] = [validations[at - 1] ?? [0, 0], validations[at]];
  return from + ((to - from) * (target - low)) / (high - low || 1);
}

function table(runs: readonly Run[]): string {
  const seconds = ({ secondsToTarget }: Run) => (secondsToTarget === null ? '-' : secondsToTarget.toFixed(0));
  const rows = [...new Set(runs.map(({ way }) => way))].map((way) => {
    const own = runs.filter((one) => one.way === way);
    return [
      way,
      own.map(seconds).join(', '),
      own.map(({ best }) => percent(best)).join(', '),
      own.map(({ tokensPerSecond }) => tokensPerSecond.toFixed(0)).join(', '),
    ];
  });
  return formatTable([[`to ${percent(target)}`, 'seconds, by seed', 'best accuracy', 'tokens/s'], ...rows]);
}

async function compare(): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'cupel-sparse-'));
  const dataset = join(home, 'dataset');
  mkdirSync(dataset);
  const runs: Run[] = [];
  try {
    await importTraces({ traces: train, test, options: {}, folder: dataset });
    const student = (await resolveModel('smollm2-135m-instruct')).path;
    // seed by seed, so that a bench that is cut off has compared all ways
    for (let seed = 0; seed < Number(values.seeds); seed++) {
      for (const way of values.only.split(',')) {
        runs.push(await run(way, seed, dataset, student, join(home, `${way}-${seed}`)));
        process.stderr.write(`${table(runs)}\n\n`);
        save(runs);
      }
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  console.log(table(runs));
}

function save(runs: readonly Run[]): void {
  const results = new URL('results/', import.meta.url);
  mkdirSync(results, { recursive: true });
  const machine = { date: new Date().toISOString(), cpu: cpus()[0]?.model.trim(), threads: availableParallelism() };
  const record = { ...machine, budget: values.budget, target, ways: WAYS, runs };
  writeFileDurably(fileURLToPath(new URL('sparse.json', results)), `${JSON.stringify(record, null, 2)}\n`);
}

if (values.help) console.log(HELP);
else await compare();
