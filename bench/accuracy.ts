// Accuracy after a fixed time of training, beside PyTorch with PEFT after the same time; or after the same steps, which says what
// each precision costs. Every side is served and scored alike.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { writeFileDurably } from '../src/base/durable.ts';
import { formatDuration, parseDuration } from '../src/base/duration.ts';
import { toJsonl } from '../src/base/jsonl.ts';
import { runCompress, servedModel } from '../src/cli/compress.ts';
import { runDistill } from '../src/cli/distill.ts';
import { runEvaluate } from '../src/cli/evaluate.ts';
import { runImport } from '../src/cli/import.ts';
import { type Session, withSession } from '../src/cli/session.ts';
import type { MadeArtifact } from '../src/cli/stages.ts';
import { DEFAULT_STUDENT, findStudent, type Student } from '../src/cli/student.ts';
import { formatTable } from '../src/cli/table.ts';
import { compress } from '../src/compress/compress.ts';
import { DISTILL_DEFAULTS, type DistillFacts } from '../src/distill/distill.ts';
import { usualRate } from '../src/distill/rate.ts';
import { readMaterial } from '../src/distill/samples.ts';
import type { EvaluateFacts } from '../src/evaluate/evaluate.ts';
import { wilson } from '../src/evaluate/statistics/wilson.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { writeHuggingFaceFolder } from '../src/formats/huggingface-write.ts';
import { familyOf } from '../src/models/families.ts';
import { percent } from '../src/report/verdict.ts';

const HELP = `npm run bench:accuracy -- TRAIN.jsonl TEST.jsonl [options]
  --budget TIME   of training, the same for all sides (5m)
  --steps N       so many steps on the same batches in place of a budget; not with peft. Writes precision.json
  --seed N        of the adapter and the order of conversations (0)
  --sides LIST    of int8 (with the faster engine), int8-onnxruntime, int4, float32, peft (in float32) and peft-bfloat16, with commas (int8,peft,peft-bfloat16); peft wants BENCH_PYTHON with torch, transformers and peft. Or, every weight trained: full-bf16, full-int8, full-float32, full-peft-autocast (PyTorch with float32 weights and products in bfloat16) and full-peft-bfloat16 (all of it in bfloat16); files are called -full then. SIDE@RATE trains at another learning rate than the usual one
  --student NAME  catalog name, GGUF file or Hugging Face folder (${DEFAULT_STUDENT})
Rows are OpenAI chat conversations, as \`cupel import\` takes them. Writes bench/results/accuracy.json, where what was measured
alike on this machine of other sides and seeds stays; \`npm run bench:precision -- TRAIN TEST\` is
150 steps in each precision.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    budget: { type: 'string', default: '5m' },
    steps: { type: 'string' },
    seed: { type: 'string', default: '0' },
    sides: { type: 'string', default: 'int8,peft,peft-bfloat16' },
    student: { type: 'string', default: DEFAULT_STUDENT },
    help: { type: 'boolean', default: false },
  },
});

const steps = values.steps === undefined ? undefined : Number(values.steps);
if (steps !== undefined && !(Number.isInteger(steps) && steps > 0)) throw new Error('--steps takes a whole number');
const seed = Number(values.seed);
if (!Number.isInteger(seed)) throw new Error('--seed takes a whole number');
if (steps && values.sides.includes('peft')) throw new Error('peft trains for a budget, not for --steps');

interface Measured {
  side: string;
  seed: number;
  engine?: string;
  steps: number;
  epochs: number;
  tokensPerSecond: number;
  /** Mean loss of the answer tokens of conversations not trained on, of the adapter that is kept. */
  validationLoss?: number;
  accuracy: number;
  interval: { lower: number; upper: number };
  items: number;
  versions?: Record<string, string>;
}

type Trained = Omit<Measured, 'side' | 'seed' | 'accuracy' | 'interval' | 'items'> & { gguf: string };

const threads = availableParallelism();
/** The peer's side without a precision in its name. */
const PEERS: Readonly<Record<string, string>> = { peft: 'float32' };

/** What a side's name says: its kind, and the learning rate after an @ if it is not the usual one. */
function asked(side: string): { kind: string; learningRate?: number } {
  const [kind, rate] = side.split('@');
  if (rate !== undefined && !(Number(rate) > 0))
    throw new Error(`--sides: ${side}: the rate after the @ is a number above 0`);
  return { kind, learningRate: rate === undefined ? undefined : Number(rate) };
}

async function ours(session: Session, student: Student, dataset: MadeArtifact, side: string): Promise<Trained> {
  const { kind, learningRate } = asked(side);
  const precision = kind.replace(/^full-/, '');
  const adapter = await runDistill(session, student, dataset, {
    budget: values.budget,
    steps,
    seed,
    full: kind !== precision,
    learningRate,
    precision: precision.split('-')[0] as 'int8',
    engine: (precision.split('-')[1] ?? 'auto') as 'auto',
  });
  const compressed = await runCompress(session, student, adapter, { type: ['q8_0'] });
  const { steps: made, epochs, tokensPerSecond, validationLoss, engine } = adapter.manifest.facts as DistillFacts;
  return { steps: made, epochs, tokensPerSecond, validationLoss, engine, gguf: servedModel(compressed, 'q8_0') };
}

/** The same token ids, rank, alpha, rate and schedule, and about as many tokens a batch. */
async function peft(student: Student, dataset: MadeArtifact, folder: string, side: string): Promise<Trained> {
  const given = asked(side);
  const kind = PEERS[given.kind] ?? given.kind.replace('peft-', '');
  const python = process.env.BENCH_PYTHON;
  if (!python) throw new Error('set BENCH_PYTHON to a Python with torch, transformers and peft, or leave out peft');
  const base = openCheckpoint(student.path);
  try {
    const { train } = await readMaterial(dataset.path, base, DISTILL_DEFAULTS);
    const samples = join(folder, 'samples.jsonl');
    const rows = train.map(({ ids, answers }) => ({ ids: [...ids], answers: answers.map((a) => [a.start, a.end]) }));
    writeFileSync(samples, toJsonl(rows));
    const model = join(folder, 'model');
    writeHuggingFaceFolder(model, base, { weights: base.weights, dtype: 'F32' });
    const mean = rows.reduce((sum, { ids }) => sum + ids.length, 0) / rows.length;
    const { batchTokens, rank, alpha } = DISTILL_DEFAULTS;
    const full = kind.startsWith('full-');
    const family = familyOf(base.config);
    const learningRate = given.learningRate ?? usualRate(family, family.parseConfig(base.config), full);
    const sizes = [parseDuration(values.budget, '--budget'), threads, Math.max(1, Math.round(batchTokens / mean)), learningRate, rank, alpha]; // biome-ignore format: one list
    const script = fileURLToPath(new URL('train/peft_accuracy.py', import.meta.url));
    const out = join(folder, 'trained');
    const told = execFileSync(python, [script, model, samples, out, ...sizes.map(String), kind, String(seed)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // what PyTorch does not write: the tokenizer
    if (full) cpSync(model, out, { recursive: true, force: false });
    const trained = full ? openCheckpoint(out) : base;
    const { files } = await compress({ base: trained, adapter: full ? undefined : out, types: ['q8_0'], folder });
    if (full) trained.close();
    return { ...JSON.parse(told.trim().split('\n').at(-1)!), gguf: join(folder, files[0].name) };
  } finally {
    base.close();
  }
}

async function score(session: Session, dataset: MadeArtifact, gguf: string) {
  const evaluation = await runEvaluate(session, gguf, dataset, { scorer: 'auto', maxTokens: 0 });
  const { student: accuracy, n: items } = (evaluation.manifest.facts as EvaluateFacts).quality;
  return { accuracy, items, interval: wilson(Math.round(accuracy * items), items) };
}

async function compare(train: string, test: string): Promise<void> {
  const workspace = mkdtempSync(join(tmpdir(), 'cupel-accuracy-'));
  const measured: Measured[] = [];
  try {
    await withSession({ workspace }, async (session) => {
      const student = await findStudent(session, values.student);
      const dataset = await runImport(session, train, { test });
      for (const side of values.sides.split(',')) {
        const folder = join(workspace, side);
        mkdirSync(folder);
        const trained = await (side.includes('peft')
          ? peft(student, dataset, folder, side)
          : ours(session, student, dataset, side));
        const { gguf, ...facts } = trained;
        measured.push({ side, seed, ...facts, ...(await score(session, dataset, gguf)) });
      }
    });
  } finally {
    rmSync(workspace, { recursive: true, force: true });
  }
  const results = fileURLToPath(
    new URL(
      `results/${steps ? 'precision' : 'accuracy'}${values.sides.startsWith('full-') ? '-full' : ''}.json`,
      import.meta.url,
    ),
  );
  const all = [...measuredBefore(results, measured), ...measured];
  const same = steps ? `${steps} steps` : values.budget;
  const head = [`${same} each, ${threads} threads`, 'seed', 'steps', 'passes', 'tokens/s', 'validation loss', 'accuracy', '95% interval']; // biome-ignore format: one list
  const rows = all.map(({ side, seed, steps, epochs, tokensPerSecond, validationLoss, accuracy, interval }) => [
    side,
    String(seed),
    String(steps),
    epochs.toFixed(2),
    tokensPerSecond.toFixed(0),
    validationLoss?.toFixed(4) ?? '',
    percent(accuracy),
    `${percent(interval.lower)} to ${percent(interval.upper)}`,
  ]);
  console.log(formatTable([head, ...rows]));
  mkdirSync(dirname(results), { recursive: true });
  const record = { date: new Date().toISOString(), ...conditions, measured: all };
  writeFileDurably(results, `${JSON.stringify(record, null, 2)}\n`);
}

const conditions = {
  cpu: cpus()[0]?.model.trim(),
  threads,
  node: process.version,
  ...(steps ? { steps } : { budget: formatDuration(parseDuration(values.budget, '--budget')) }),
  student: values.student,
};

/** Of other sides and seeds, where all else was alike. */
function measuredBefore(results: string, now: readonly Measured[]): Measured[] {
  if (!existsSync(results)) return [];
  const { date: _, measured, ...before } = JSON.parse(readFileSync(results, 'utf8'));
  const again = (one: Measured) => now.some(({ side, seed }) => side === one.side && seed === one.seed);
  return isDeepStrictEqual(before, conditions) ? (measured as Measured[]).filter((one) => !again(one)) : [];
}

const [train, test] = positionals;
if (values.help || !test) console.log(HELP);
else await compare(train, test);
