// `cupel report`: the ledger and one self-contained page, from the manifests of a run.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Artifact, listArtifacts, openArtifact } from '../artifacts/store.ts';
import { CupelError } from '../base/errors.ts';
import type { LedgerOptions } from '../report/ledger.ts';
import { parseTeacherPrice } from '../report/prices.ts';
import { REPORT_VERSION, type ReportFacts, type ReportOptions, report } from '../report/report.ts';
import { numberOption } from './numbers.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileOf, type MadeArtifact, stage } from './stages.ts';
import { formatTable } from './table.ts';

export interface ReportChoices {
  machineHour?: number;
  teacherModel?: string;
  teacherPrice?: string;
}

export function reportOptions(command: Command): Command {
  return command
    .option('--machine-hour <usd>', 'what an hour of the machine costs that trains and serves', numberOption(0))
    .option('--teacher-model <name>', 'who the teacher was, where the rows do not say')
    .option('--teacher-price <in,out>', 'USD per million input and output tokens, e.g. 2.5,10');
}

/** Prices as the command line gives them. */
export function ledgerOptions(choices: ReportChoices): LedgerOptions {
  return {
    ...(choices.machineHour === undefined ? {} : { machineHour: choices.machineHour }),
    ...(choices.teacherModel ? { teacherModel: choices.teacherModel } : {}),
    ...(choices.teacherPrice ? { teacherPrice: parseTeacherPrice(choices.teacherPrice) } : {}),
  };
}

export async function runReport(
  session: Session,
  artifacts: Artifact[],
  choices: ReportChoices,
): Promise<MadeArtifact> {
  const options: Partial<ReportOptions> = ledgerOptions(choices);
  const inputs = Object.fromEntries(artifacts.map(({ manifest }) => [manifest.stage, manifest.key]));
  return stage(session, 'report', REPORT_VERSION, inputs, { ...options }, (folder) =>
    report({ artifacts, options, folder }),
  );
}

/** The table of verdict, quality and cost that a run ends with. */
export function describeReport(artifact: MadeArtifact): string {
  const { verdict, reasons, quality, cost } = artifact.manifest.facts as unknown as ReportFacts;
  const table =
    quality &&
    cost &&
    formatTable([
      ['', 'quality', 'USD per 1,000 requests'],
      ['student', quality.student.toFixed(3), cost.studentPer1k.toPrecision(3)],
      ['teacher', quality.teacher.toFixed(3), cost.teacherPer1k.toPrecision(3)],
      ['ratio', quality.ratio.toFixed(3), `${(100 * cost.share).toPrecision(2)}%`],
      [`at least, 95% sure (${quality.n} items)`, quality.lower95.toFixed(3)],
    ]);
  return [
    ...(table ? [table, ''] : []),
    `verdict: ${verdict}`,
    ...reasons.map((reason) => `  - ${reason}`),
    '',
    `report: ${fileOf(artifact, 'report.html')}`,
  ].join('\n');
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
