// `cupel run`: the whole chain from recorded traffic to a verdict.
import type { Command } from 'commander';
import type { Artifact } from '../artifacts/store.ts';
import type { ReportFacts } from '../report/report.ts';
import { compressOptions, runCompress, servedModel } from './compress.ts';
import { type DistillChoices, distillOptions, runDistill } from './distill.ts';
import { type EvaluateChoices, evaluateOptions, runEvaluate } from './evaluate.ts';
import { NOT_PROVEN } from './exit.ts';
import { runGate } from './gate.ts';
import { describeImport, type ImportChoices, importOptions, runImport } from './import.ts';
import { describeReport, type ReportChoices, reportOptions, runReport } from './report.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileOf, type MadeArtifact } from './stages.ts';
import { findStudent, studentOption } from './student.ts';

export type RunChoices = ImportChoices &
  DistillChoices &
  EvaluateChoices &
  ReportChoices & { student: string; serveType: string; type: string[] };

export interface RunResult extends Pick<ReportFacts, 'verdict' | 'reasons' | 'quality' | 'cost'> {
  /** The GGUF file that was evaluated and is to be served. */
  model: string;
  /** The HTML page. */
  report: string;
  /** The signed proof beside the model; its verdict may be stricter, for it knows the safety floors too. */
  proof: string;
  servable: boolean;
  /** Stage -> folder. */
  artifacts: Record<string, string>;
}

/** All options of the chain, for `run` and `demo`. */
export function runOptions(command: Command): Command {
  studentOption(commonOptions(command));
  importOptions(command);
  distillOptions(command);
  compressOptions(command);
  evaluateOptions(command);
  return reportOptions(command);
}

/** The chain. Every stage is an artifact: what is there is not done again, what was interrupted goes on. */
export async function runChain(
  session: Session,
  traces: string,
  choices: RunChoices,
): Promise<{ result: RunResult; report: MadeArtifact }> {
  const dataset = await runImport(session, traces, choices);
  for (const line of describeImport(dataset).split('\n').slice(0, -1)) {
    session.progress({ stage: 'import', message: line.trim() });
  }
  const student = await findStudent(session, choices.student);
  const distilled = await runDistill(session, student, dataset, choices);
  const compressed = await runCompress(session, student, distilled, choices);
  const model = servedModel(compressed, choices.serveType);
  const evaluated = await runEvaluate(session, model, dataset, choices);
  const lineage = [dataset, distilled, compressed, evaluated];
  const report = await runReport(session, lineage, choices);
  const { signed, file } = await runGate(session, model, choices);
  const gate = { proof: file, servable: signed.proof.verdict === 'proven' };
  return { result: { ...resultOf(report, model, [...lineage, report]), ...gate }, report };
}

function resultOf(report: MadeArtifact, model: string, artifacts: Artifact[]): Omit<RunResult, 'proof' | 'servable'> {
  const { verdict, reasons, quality, cost } = report.manifest.facts as unknown as ReportFacts;
  return {
    verdict,
    reasons,
    quality,
    cost,
    model,
    report: fileOf(report, 'report.html'),
    artifacts: Object.fromEntries(artifacts.map(({ manifest, path }) => [manifest.stage, path])),
  };
}

/** A model without a proof is only served when asked for in so many words. */
export function serveCommand({ model, servable }: Pick<RunResult, 'model' | 'servable'>): string {
  return `cupel serve ${model}${servable ? '' : ' --unproven'}`;
}

export function register(program: Command): void {
  const command = program
    .command('run')
    .description('from recorded traffic to a small model and a verdict: import, distill, compress, evaluate, report')
    .argument('<traces>', 'OpenAI chat JSONL; each row a conversation that ends with the teacher’s answer')
    .option('--require-proof', `end with exit code ${NOT_PROVEN} unless the verdict is "proven"`)
    .addHelpText(
      'after',
      '\nExample:\n  cupel run traces.jsonl --test held-out.jsonl --budget 30m\n  cupel run traces.jsonl --json > verdict.json',
    );
  runOptions(command).action((traces: string, options: CommonOptions & RunChoices & { requireProof?: boolean }) =>
    withSession(options, async (session) => {
      const { result, report } = await runChain(session, traces, options);
      print(
        session.json,
        result,
        () =>
          `${describeReport(report)}\nmodel:  ${result.model}\nproof:  ${result.proof}\nserve:  ${serveCommand(result)}`,
      );
      if (options.requireProof && result.verdict !== 'proven') process.exitCode = NOT_PROVEN;
    }),
  );
}
