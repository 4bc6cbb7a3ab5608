// `npm run headline`: students against GPT-4's recorded answers on three legal tasks, and one for bilingual customer service.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileDurably } from '../src/base/durable.ts';
import { CupelError, describeError } from '../src/base/errors.ts';
import { VERSION } from '../src/base/version.ts';
import { exitCodeOf } from '../src/cli/exit.ts';
import { withSession } from '../src/cli/session.ts';
import { DEFAULT_STUDENT, findStudent } from '../src/cli/student.ts';
import type { Training } from './headline/fold.ts';
import { type Job, LAW_TASKS, lawJobs, requireData, serviceJob } from './headline/jobs.ts';
import { type Measured, measure } from './headline/measure.ts';
import { headlineTable, mergeResults } from './headline/table.ts';

const HELP = `npm run headline -- [options]
  --data DIR           folder with lawbench/, clinc150/ and waimai/ (CUPEL_HEADLINE_DATA, ../shared/data)
  --accept-terms       take Gemma 3 270M, whose terms (https://ai.google.dev/gemma/terms) you accept; also CUPEL_ACCEPT_TERMS=gemma
  --prompt-weight W    of prompt tokens in the loss of the legal students (0)
  --learning-rate R, --first-layer N, --rank R, --batch-tokens N, --accumulate N   of training, as \`cupel distill\` takes them
  --student NAME       another student: catalog name, GGUF file or Hugging Face folder
  --folds N            legal students: 1 learns half of the items and is tested on the other half; from 2 on so many, each tested
                       on its part and taught with all others, so that every item is tested once (1)
  --passes N           most passes over the training rows; a shorter schedule is planned where the budget does not hold them
  --budget TIME        of each legal training, at most (150s)
  --service-budget T   of the one for customer service, at most (5m)
  --test-items N       most held-out items a data set (for law all there are, 300 for service)
  --only TEXT          only jobs whose name has TEXT, e.g. "2-4"
  --way NAME           only legal students that learn so: gpt-4, from its own answers, or corrected, from the right ones
  --workspace DIR      (.cupel/headline); what is done there is not done again
  --output FILE        (bench/results/headline.json)
Exit code 2 where the data are absent, 0 whatever the verdicts.`;

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: process.env.CUPEL_HEADLINE_DATA ?? '../shared/data' },
    'accept-terms': {
      type: 'boolean',
      default: (process.env.CUPEL_ACCEPT_TERMS ?? '').split(/[\s,]+/).includes('gemma'),
    },
    student: { type: 'string' },
    budget: { type: 'string', default: '150s' },
    'service-budget': { type: 'string', default: '5m' },
    'test-items': { type: 'string' },
    folds: { type: 'string', default: '1' },
    passes: { type: 'string' },
    way: { type: 'string' },
    'learning-rate': { type: 'string' },
    'prompt-weight': { type: 'string' },
    'first-layer': { type: 'string' },
    rank: { type: 'string' },
    'batch-tokens': { type: 'string' },
    accumulate: { type: 'string' },
    only: { type: 'string', default: '' },
    workspace: { type: 'string', default: '.cupel/headline' },
    output: { type: 'string', default: 'bench/results/headline.json' },
    help: { type: 'boolean', default: false },
  },
});

async function jobs(data: string): Promise<Job[]> {
  const items = (usual: number) => Number(values['test-items'] ?? usual);
  const folds = Number(values.folds);
  const law = await Promise.all(LAW_TASKS.map((name) => lawJobs(data, name, { folds, testItems: items(400) })));
  return [...law.flat(), await serviceJob(data, items(300))].filter(
    ({ name, way }) => name.includes(values.only) && (way === 'gold' || way === (values.way ?? way)),
  );
}

/** The options of one item share its question and fill a small batch, so a step takes several. */
const CHOICE = { batchTokens: 256, accumulate: 4 };

function trainingOf({ way, letters }: Job): Training {
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  return {
    budget: way === 'gold' ? values['service-budget'] : values.budget,
    maxEpochs: number(values.passes),
    learningRate: number(values['learning-rate']),
    promptWeight: way === 'gold' ? undefined : number(values['prompt-weight']) || undefined,
    firstLayer: number(values['first-layer']),
    rank: number(values.rank),
    batchTokens: number(values['batch-tokens']) ?? (letters && CHOICE.batchTokens),
    accumulate: number(values.accumulate) ?? (letters && CHOICE.accumulate),
  };
}

async function headline(): Promise<void> {
  requireData(values.data);
  if (values['accept-terms']) process.env.CUPEL_ACCEPT_TERMS = `gemma ${process.env.CUPEL_ACCEPT_TERMS ?? ''}`;
  const name = values.student ?? (values['accept-terms'] ? 'gemma-3-270m' : DEFAULT_STUDENT);
  let all: readonly Measured[] = [];
  const measured: Measured[] = [];
  await withSession({ workspace: values.workspace }, async (session) => {
    const student = await findStudent(session, name);
    for (const job of await jobs(values.data)) {
      measured.push(await measure(session, student, job, trainingOf(job)));
      all = save(measured);
    }
  });
  console.log(headlineTable(all));
}

/** After each job, so that a run that is cut off leaves what it found; other jobs of the same student stay. */
function save(results: readonly Measured[]): Measured[] {
  const file = resolve(values.output);
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { results: Measured[] }).results : [];
  const all = mergeResults(before, results);
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), loadAverage: loadavg()[1] };
  mkdirSync(dirname(file), { recursive: true });
  const document = { version: VERSION, at: new Date().toISOString(), machine, results: all };
  writeFileDurably(file, `${JSON.stringify(document, null, 2)}\n`);
  return all;
}

if (values.help) console.log(HELP);
else
  await headline().catch((error: unknown) => {
    console.error(error instanceof CupelError ? `headline: ${describeError(error)}` : error);
    process.exitCode = exitCodeOf(error);
  });
