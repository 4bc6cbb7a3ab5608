// `cupel report`: the ledger and one self-contained page, from the manifests of a run.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Artifact, listArtifacts, openArtifact } from '../artifacts/store.ts';
import { CupelError } from '../base/errors.ts';
import { hashJson } from '../base/hash.ts';
import { readTraffic } from '../report/break-even.ts';
import { parseCurrency } from '../report/currency.ts';
import type { LedgerOptions } from '../report/ledger.ts';
import { parseMachine } from '../report/machine.ts';
import { parseTeacherPrice } from '../report/prices.ts';
import { modelFile, REPORT_VERSION, type ReportFacts, type ReportOptions, report } from '../report/report.ts';
import { readServed } from '../report/served.ts';
import { percent } from '../report/verdict.ts';
import { numberOption } from './numbers.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileOf, type MadeArtifact, stage } from './stages.ts';
import { formatTable } from './table.ts';

export interface ReportChoices {
  machineHour?: number;
  teacherModel?: string;
  teacherPrice?: string;
  machine?: string;
  watts?: number;
  traffic?: string;
  currency?: string;
}

export function reportOptions(command: Command): Command {
  return command
    .option('--machine-hour <usd>', 'what an hour of the machine costs that trains and serves', numberOption(0))
    .option(
      '--machine <name@price/h>',
      'what if it were served there, e.g. a100-80g@1.2/h, or desk@2400/36mo for one bought',
    )
    .option(
      '--watts <n>',
      'power that the machine draws under load, where the processor has no counters to read',
      numberOption(0),
    )
    .option(
      '--traffic <file>',
      'dated traffic (CSV date,requests or JSON lines with `created`) for the date of break-even',
    )
    .option('--currency <code>', 'show money in CNY, EUR, …, or at your rate: CNY=7.1')
    .option('--teacher-model <name>', 'who the teacher was, where the rows do not say')
    .option('--teacher-price <in,out>', 'USD per million input and output tokens, e.g. 2.5,10, or 2,3CNY');
}

/** Prices as the command line gives them. */
export function ledgerOptions(choices: ReportChoices): LedgerOptions {
  const currency = choices.currency ? parseCurrency(choices.currency) : undefined;
  return {
    ...(choices.machineHour === undefined ? {} : { machineHour: choices.machineHour }),
    ...(choices.machine ? { machine: parseMachine(choices.machine, currency) } : {}),
    ...(choices.watts === undefined ? {} : { watts: choices.watts }),
    ...(choices.traffic ? { traffic: readTraffic(resolve(choices.traffic)) } : {}),
    ...(currency ? { priceCurrency: currency } : {}),
    ...(choices.teacherModel ? { teacherModel: choices.teacherModel } : {}),
    ...(choices.teacherPrice ? { teacherPrice: parseTeacherPrice(choices.teacherPrice, currency) } : {}),
  };
}

export async function runReport(
  session: Session,
  artifacts: Artifact[],
  choices: ReportChoices,
): Promise<MadeArtifact> {
  const currency = choices.currency ? { currency: parseCurrency(choices.currency) } : {};
  const model = modelFile(artifacts);
  const served = model ? await readServed(model) : undefined;
  const options: Partial<ReportOptions> = { ...ledgerOptions(choices), ...currency, ...(served ? { served } : {}) };
  const others = otherEvaluations(session.workspace, artifacts);
  const inputs = {
    ...Object.fromEntries(artifacts.map(({ manifest }) => [manifest.stage, manifest.key])),
    ...(others.length > 0 ? { others: hashJson(others.map(({ manifest }) => manifest.key)) } : {}),
  };
  return stage(session, 'report', REPORT_VERSION, inputs, { ...options }, (folder) =>
    report({ artifacts, others, options, folder }),
  );
}

function describeServed(
  { since, until, student, teacher, usd }: NonNullable<ReportFacts['served']>,
  money: (usd: number) => string,
  code: string,
): string {
  return `served with its teacher from ${since.slice(0, 10)} to ${until.slice(0, 10)}: the student answered ${student} requests, the teacher ${teacher}, for ${money(usd)} ${code}`;
}

/** Evaluations of other models on the same dataset, for the quality-cost plane. */
function otherEvaluations(workspace: string, artifacts: readonly Artifact[]): Artifact[] {
  const main = artifacts.findLast(({ manifest }) => manifest.stage === 'evaluate');
  return listArtifacts(workspace).filter(
    ({ manifest }) =>
      manifest.stage === 'evaluate' &&
      manifest.key !== main?.manifest.key &&
      manifest.inputs.dataset === main?.manifest.inputs.dataset,
  );
}

/** The table of verdict, quality and cost that a run ends with. */
export function describeReport(artifact: MadeArtifact): string {
  const facts = artifact.manifest.facts as unknown as ReportFacts;
  const { verdict, reasons, quality, cost } = facts;
  const money = (usd: number | null | undefined) => (usd == null ? '-' : (usd * facts.currency.perUsd).toPrecision(3));
  const { code, source, asOf } = facts.currency;
  const table =
    quality &&
    cost &&
    formatTable([
      ['', 'quality', `${code} per 1,000 requests`, `${code} per 1,000 correct`],
      ['student', quality.student.toFixed(3), money(cost.studentPer1k), money(facts.perCorrect?.student)],
      ['teacher', quality.teacher.toFixed(3), money(cost.teacherPer1k), money(facts.perCorrect?.teacher)],
      ['ratio', quality.ratio.toFixed(3), `${(100 * cost.share).toPrecision(2)}%`],
      [`at least, 95% sure (${quality.n} items)`, quality.lower95.toFixed(3)],
    ]);
  return [
    ...(table ? [table, ''] : []),
    ...(facts.plane.length > 2 ? [describePlane(facts.plane, money, code), ''] : []),
    ...(source
      ? [`${code} at ${facts.currency.perUsd} to the dollar (${[source, asOf].filter(Boolean).join(', ')})`]
      : []),
    ...(facts.cascade ? [describeCascadeCost(facts.cascade, money, code)] : []),
    ...(facts.traffic
      ? [
          `the recorded traffic, ${facts.traffic.requests} requests, cost ${money(facts.traffic.usd)} ${code} with the teacher`,
        ]
      : []),
    ...(facts.served ? [describeServed(facts.served, money, code)] : []),
    ...(facts.breakEven ? [describeBreakEven(facts.breakEven)] : []),
    ...(facts.energy
      ? [
          `energy at ${facts.energy.watts.toPrecision(3)} W (${facts.energy.source}): ${facts.energy.kwhPer1k.toPrecision(2)} kWh per 1,000 requests`,
        ]
      : []),
    `verdict: ${verdict}`,
    ...reasons.map((reason) => `  - ${reason}`),
    '',
    `report: ${fileOf(artifact, 'report.html')}`,
  ].join('\n');
}

/** The quality-cost plane as a table, the cheapest first. */
function describePlane(plane: ReportFacts['plane'], money: (usd: number) => string, code: string): string {
  return formatTable([
    ['on the same test', 'quality', '95% interval', `${code} per 1,000`],
    ...plane.map(({ name, quality, lower, upper, usdPer1k }) => [
      name,
      quality.toFixed(3),
      `${lower.toFixed(3)} to ${upper.toFixed(3)}`,
      money(usdPer1k),
    ]),
  ]);
}

function describeCascadeCost(
  { local, usdPer1k, teacherUsdPer1k, share }: NonNullable<ReportFacts['cascade']>,
  money: (usd: number) => string,
  code: string,
): string {
  return `with its teacher behind it the student answers ${percent(local)}; 1,000 requests cost ${money(usdPer1k)} ${code}, ${money(teacherUsdPer1k)} of it for the teacher: ${percent(share)} of the teacher alone`;
}

function describeBreakEven({ date, earliest, latest, days, growth }: NonNullable<ReportFacts['breakEven']>): string {
  const between = `95%: ${earliest ?? 'not in ten years'} to ${latest ?? 'not in ten years'}`;
  return `break-even: ${date ?? 'not in ten years'} (${between}; ${days} days of traffic, ${(100 * growth).toFixed(1)}% a month)`;
}

/** The artifacts that led to an evaluation: found in the workspace by the keys in its manifests. */
export function lineageOf(workspace: string, evaluation: Artifact): Artifact[] {
  const all = listArtifacts(workspace);
  const dataset = all.find(({ manifest }) => manifest.key === evaluation.manifest.inputs.dataset);
  const compressed = all.find(({ manifest }) =>
    Object.values(manifest.files).some((file) => `sha256:${file.sha256}` === evaluation.manifest.inputs.model),
  );
  const distilled = all.find(({ manifest }) => manifest.key === compressed?.manifest.inputs.adapter);
  return [dataset, distilled, compressed, evaluation].filter((artifact) => artifact !== undefined);
}

function latestEvaluation(workspace: string): Artifact {
  const found = listArtifacts(workspace).findLast(({ manifest }) => manifest.stage === 'evaluate');
  if (found) return found;
  throw new CupelError('there is no evaluation in this workspace', {
    place: { file: workspace },
    remedy: 'run `cupel evaluate MODEL DATASET` first, or `cupel run`',
    exitCode: 2,
  });
}

export function register(program: Command): void {
  const command = program
    .command('report')
    .description('ledger and one self-contained HTML page of an evaluation and what led to it')
    .argument('[evaluation]', 'folder that `cupel evaluate` made; the latest of the workspace without it')
    .addHelpText('after', '\nExample:\n  cupel report --machine-hour 0.08 --teacher-model gpt-4o');
  reportOptions(commonOptions(command)).action(
    (evaluation: string | undefined, options: CommonOptions & ReportChoices) =>
      withSession(options, async (session) => {
        const start = evaluation ? openArtifact(resolve(evaluation)) : latestEvaluation(session.workspace);
        const artifact = await runReport(session, lineageOf(session.workspace, start), options);
        print(session.json, { artifact: artifact.path, ...artifact.manifest.facts }, () => describeReport(artifact));
      }),
  );
}
