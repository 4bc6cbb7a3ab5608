// The report stage: from the manifests alone, a verdict, a ledger and a page.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from '../artifacts/store.ts';
import { writeFileDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { readJsonl } from '../base/jsonl.ts';
import type { BreakEven } from './break-even.ts';
import { type Currency, USD } from './currency.ts';
import { lossCurve } from './curve.ts';
import { type Evaluated, evaluatedFacts, ScoredLine } from './evaluated.ts';
import { page } from './html/page.ts';
import { type Ledger, type LedgerOptions, makeLedger } from './ledger.ts';
import { type PlanePoint, planePoints } from './plane.ts';
import { decide, type Verdict } from './verdict.ts';

/** Raise when the same manifests give another report. */
export const REPORT_VERSION = 5;

export interface ReportOptions extends LedgerOptions {
  /** Examples shown side by side. */
  examples: number;
  /** The currency of the terminal's table; files and page stay in dollars. */
  currency: Currency;
}

export const REPORT_DEFAULTS: ReportOptions = { examples: 24, currency: USD };

export interface ReportRun {
  /** Of the stages, as far as they were run, in their order: import, distill, compress, evaluate. */
  artifacts: readonly Artifact[];
  /** Other evaluations on the same test, e.g. of other quantisations, for the plane. */
  others?: readonly Artifact[];
  folder: string;
  options?: Partial<ReportOptions>;
}

export interface ReportFacts extends Record<string, unknown>, Verdict {
  quality: { student: number; teacher: number; ratio: number; lower95: number; n: number } | null;
  /** USD for 1,000 requests; share = student / teacher. */
  cost: { studentPer1k: number; teacherPer1k: number; share: number } | null;
  /** USD for 1,000 right answers; null where there are none. */
  perCorrect: { student: number | null; teacher: number | null } | null;
  cascade: Ledger['cascade'];
  traffic: Ledger['traffic'];
  served: Ledger['served'];
  breakEven: BreakEven | null;
  energy: Ledger['energy'];
  plane: PlanePoint[];
  currency: Currency;
  /** The model file that was evaluated, where the artifacts hold one. */
  model: string | null;
  trainingSeconds: number;
  trainingUsd: number;
}

/**
 * Writes ledger.json and report.html.
 * @throws CupelError when there is nothing to report on, or a manifest is of another version
 */
export async function report(run: ReportRun): Promise<ReportFacts> {
  const options = { ...REPORT_DEFAULTS, ...run.options };
  if (run.artifacts.length === 0) {
    throw new CupelError('there is nothing to report on', {
      remedy: 'run `cupel run TRACES.jsonl` first',
      exitCode: 2,
    });
  }
  const evaluation = latest(run.artifacts, 'evaluate');
  const evaluated = evaluation && evaluatedFacts(evaluation);
  const ledger = evaluated && makeLedger(run.artifacts, evaluated, options);
  const plane = evaluation ? planePoints(evaluation, run.others ?? [], options) : [];
  const verdict = evaluated && ledger ? decide(evaluated, ledger) : notEvaluated();
  writeFileDurably(
    join(run.folder, 'ledger.json'),
    `${JSON.stringify({ verdict, ledger: ledger ?? null, plane }, null, 2)}\n`,
  );
  const content = page({
    title: `Cupel report: ${evaluated?.student.name ?? run.artifacts.map((artifact) => artifact.manifest.stage).join(', ')}`,
    verdict,
    evaluated,
    ledger,
    plane,
    curve: await lossCurve(latest(run.artifacts, 'distill')),
    examples: await worstFirst(evaluation, options.examples),
    artifacts: run.artifacts,
  });
  writeFileDurably(join(run.folder, 'report.html'), content);
  return facts(run.artifacts, verdict, { plane, currency: options.currency }, evaluated, ledger);
}

function latest(artifacts: readonly Artifact[], stage: string): Artifact | undefined {
  return artifacts.findLast((artifact) => artifact.manifest.stage === stage);
}

function notEvaluated(): Verdict {
  return { verdict: 'not proven', reasons: ['the student has not been evaluated yet'] };
}

/** Two thirds where the student did worst, the rest where it did well; so that both can be seen. */
async function worstFirst(evaluation: Artifact | undefined, most: number): Promise<ScoredLine[]> {
  const file = evaluation && join(evaluation.path, 'scores.jsonl');
  if (!file || !existsSync(file)) return [];
  const rows = (await readJsonl<unknown>(file)).map((row) => ScoredLine.parse(row));
  const sorted = rows.toSorted((a, b) => a.studentScore - b.studentScore);
  const bad = sorted.filter((row) => row.studentScore < 1).slice(0, Math.ceil((most * 2) / 3));
  return [...bad, ...sorted.filter((row) => row.studentScore === 1).slice(0, most - bad.length)];
}

function facts(
  artifacts: readonly Artifact[],
  verdict: Verdict,
  shown: Pick<ReportFacts, 'plane' | 'currency'>,
  evaluated?: Evaluated,
  ledger?: Ledger,
): ReportFacts {
  const training = ledger?.spent.filter((entry) => entry.stage === 'distill') ?? [];
  return {
    ...verdict,
    ...shown,
    quality: evaluated ? qualityOf(evaluated) : null,
    cost: ledger
      ? { studentPer1k: ledger.student.usdPer1k, teacherPer1k: ledger.teacher.usdPer1k, share: ledger.share }
      : null,
    perCorrect: ledger ? { student: ledger.student.usdPer1kCorrect, teacher: ledger.teacher.usdPer1kCorrect } : null,
    cascade: ledger?.cascade ?? null,
    traffic: ledger?.traffic ?? null,
    served: ledger?.served ?? null,
    breakEven: ledger?.breakEven ?? null,
    energy: ledger?.energy ?? null,
    model: modelFile(artifacts),
    trainingSeconds: training.reduce((sum, entry) => sum + entry.seconds, 0),
    trainingUsd: training.reduce((sum, entry) => sum + entry.usd, 0),
  };
}

function qualityOf({ quality: { student, teacher, ratio, lower95, n } }: Evaluated): ReportFacts['quality'] {
  return { student, teacher, ratio, lower95, n };
}

/** The compress stage says which of its files is served (`facts.file`); else its only, or first, GGUF. */
export function modelFile(artifacts: readonly Artifact[]): string | null {
  const made = latest(artifacts, 'compress');
  if (!made) return null;
  const named = made.manifest.facts.file;
  const name =
    typeof named === 'string' ? named : Object.keys(made.manifest.files).find((file) => file.endsWith('.gguf'));
  return name === undefined ? null : join(made.path, name);
}
