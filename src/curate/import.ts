// The import stage: recorded traffic in, checked and split conversations out, every refused line listed with its reason.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { toJsonl } from '../base/jsonl.ts';
import { findLeaks } from '../base/overlap.ts';
import { type Progress, silent } from '../base/progress.ts';
import type { Example } from '../chat/messages.ts';
import { readConversations } from './formats/read.ts';
import { type Row, readRow } from './row.ts';
import { askedText, clusterRows, dealClusters, PASSAGES, quotas, type SplitName } from './split.ts';

/** Raise when the same input gives other output. */
export const IMPORT_VERSION = 2;

export interface ImportOptions {
  /** Characters of a whole conversation. A limit in tokens is the business of training. */
  maxCharacters: number;
  /** Bytes of a line. */
  maxLineBytes: number;
  /** Share of rows held out for the verdict where no test file is given. */
  testShare: number;
  /** Share of rows held out to choose checkpoints and thresholds. */
  calibrationShare: number;
  /** Jaccard similarity of character n-grams from which two questions are near-duplicates. */
  nearDuplicate: number;
}

export const IMPORT_DEFAULTS: ImportOptions = {
  maxCharacters: 200_000,
  maxLineBytes: 16 << 20,
  testShare: 0.1,
  calibrationShare: 0.1,
  nearDuplicate: 0.7,
};

export interface ImportRun {
  /** OpenAI chat JSONL, or another format that `formats/` knows. */
  traces: string;
  /** Held-out conversations of the same form; without it a part of `traces` is held out. */
  test?: string;
  options?: Partial<ImportOptions>;
  folder: string;
  progress?: Progress;
}

/** A line that was not taken: in `rejects.jsonl`. */
export interface Reject {
  file: string;
  /** From 1. */
  line: number;
  reason: string;
  /** The start of the line. */
  text: string;
}

export interface ImportFacts extends Record<string, unknown> {
  /** Lines that were not blank. */
  rows: number;
  /** Conversations kept, over all splits. */
  accepted: number;
  rejected: number;
  /** Kind of reason -> lines. */
  reasons: Record<string, number>;
  /** Rows left out because their content was there already. */
  duplicates: number;
  /** Rows that lost turns after their last answer. */
  trimmed: number;
  /** Groups of near-duplicates that were kept within one split. */
  nearDuplicates: { clusters: number; rows: number };
  /** Training rows dropped because they (nearly) repeat rows of the test split, whole or in long passages. */
  droppedFromTrain: number;
  splits: Record<SplitName, number>;
  /** Teacher's model name -> rows. */
  models: Record<string, number>;
  withReference: number;
  withUsage: number;
  warnings: string[];
}

interface Read {
  rows: (Row & { line: number })[];
  rejects: Reject[];
  lines: number;
  duplicates: number;
}

/**
 * Writes train.jsonl, calibration.jsonl, test.jsonl (rows are `Example`s) and rejects.jsonl (rows are `Reject`s).
 * @throws CupelError (exit code 2) when a file is missing or empty, or none of its rows is good
 */
export async function importTraces(run: ImportRun): Promise<ImportFacts> {
  const options = { ...IMPORT_DEFAULTS, ...run.options };
  const progress = run.progress ?? silent;
  const traces = await readFile(run.traces, options, progress);
  const test = run.test === undefined ? undefined : await readFile(run.test, options, progress);
  progress({ stage: 'import', message: 'looking for near-duplicates' });
  const rows = [...traces.rows, ...(test?.rows ?? [])];
  const clusters = clusterRows(rows, options.nearDuplicate);
  const dealt = test ? splitAround(rows, traces.rows.length, clusters, options) : splitAll(rows, clusters, options);
  const splits = withoutLeaks(rows, dealt, options);
  const rejects = [...traces.rejects, ...(test?.rejects ?? [])];
  const files: Record<SplitName, Example[]> = { train: [], calibration: [], test: [] };
  rows.forEach((row, i) => {
    const split = splits[i];
    if (split) files[split].push(toExample(row));
  });
  for (const name of Object.keys(files) as SplitName[]) writeRows(join(run.folder, `${name}.jsonl`), files[name]);
  writeRows(join(run.folder, 'rejects.jsonl'), rejects);
  const read = [traces, ...(test ? [test] : [])];
  const facts: ImportFacts = {
    rows: read.reduce((sum, one) => sum + one.lines, 0),
    accepted: splits.filter((split) => split !== undefined).length,
    rejected: rejects.length,
    reasons: countBy(rejects, (reject) => reject.reason.split(/[:,]/, 1)[0]),
    duplicates: read.reduce((sum, one) => sum + one.duplicates, 0),
    trimmed: rows.filter((row) => row.trimmed > 0).length,
    nearDuplicates: clusters.shared,
    droppedFromTrain: splits.filter((split) => split === undefined).length,
    splits: { train: files.train.length, calibration: files.calibration.length, test: files.test.length },
    models: countBy(rows, (row) => row.model ?? 'unknown'),
    withReference: rows.filter((row) => row.reference !== undefined).length,
    withUsage: rows.filter((row) => row.usage !== undefined).length,
    warnings: [],
  };
  facts.warnings = warningsFor(facts);
  if (facts.splits.train === 0) throw nothingToTrain(run, facts);
  return facts;
}

async function readFile(file: string, options: ImportOptions, progress: Progress): Promise<Read> {
  if (!existsSync(file)) {
    throw new CupelError('no such file', {
      place: { file },
      remedy: 'give a file of OpenAI chat JSONL: one {"messages": [...]} a line',
      exitCode: 2,
    });
  }
  const read: Read = { rows: [], rejects: [], lines: 0, duplicates: 0 };
  const ids = new Map<string, number>();
  const contents = new Set<string>();
  for await (const { line, text, tooLong, invalidUtf8, reason } of readConversations(file, options.maxLineBytes)) {
    if (!tooLong && !reason && text.trim() === '') continue;
    read.lines++;
    const reject = (reason: string) => read.rejects.push({ file, line, reason, text: text.slice(0, 200) });
    if (read.lines % 1000 === 0) progress({ stage: 'import', done: read.lines, unit: 'rows' });
    if (tooLong) reject(`over-long: the line has more than ${options.maxLineBytes} bytes`);
    else if (invalidUtf8) reject('not UTF-8: the line holds bytes that are no characters');
    else if (reason) reject(reason);
    else {
      const result = readRow(text, options);
      if ('reason' in result) reject(result.reason);
      else if (!hasDerivedId(result.row) && ids.has(result.row.id)) reject(duplicateId(result.row.id, ids));
      else if (contents.has(result.row.content)) read.duplicates++;
      else {
        ids.set(result.row.id, line);
        contents.add(result.row.content);
        read.rows.push({ ...result.row, line });
      }
    }
  }
  if (read.rows.length === 0) throw allBad(file, read.rejects);
  return read;
}

function hasDerivedId(row: Row): boolean {
  return row.content.startsWith(row.id);
}

function duplicateId(id: string, ids: Map<string, number>): string {
  return `duplicate id: "${id}" is on line ${ids.get(id)} too`;
}

function splitAll(rows: Row[], clusters: ReturnType<typeof clusterRows>, options: ImportOptions): SplitName[] {
  const quota = quotas(rows.length, { test: options.testShare, calibration: options.calibrationShare });
  return dealClusters(rows, clusters, quota);
}

/** The test file is the test split; rows for training that share a cluster with it are left out (`undefined`). */
function splitAround(
  rows: Row[],
  traces: number,
  clusters: ReturnType<typeof clusterRows>,
  options: ImportOptions,
): (SplitName | undefined)[] {
  const tested = new Set(clusters.of.slice(traces));
  const clean = rows.map((_, i) => i).filter((i) => i < traces && !tested.has(clusters.of[i]));
  const cleanRows = clean.map((i) => rows[i]);
  const renumbered = { ...clusters, of: clean.map((i) => clusters.of[i]) };
  const quota = quotas(clean.length, { test: 0, calibration: options.calibrationShare });
  const dealt = dealClusters(cleanRows, renumbered, quota);
  const result: (SplitName | undefined)[] = rows.map((_, i) => (i < traces ? undefined : 'test'));
  clean.forEach((i, at) => {
    result[i] = dealt[at];
  });
  return result;
}

/** Training rows that long passages of test rows are found in are left out too: the evaluation would refuse them. */
function withoutLeaks(
  rows: Row[],
  splits: (SplitName | undefined)[],
  options: ImportOptions,
): (SplitName | undefined)[] {
  const indices = rows.map((_, i) => i);
  const held = indices.filter((i) => splits[i] === 'test');
  const seen = indices.filter((i) => splits[i] === 'train' || splits[i] === 'calibration');
  const texts = (chosen: number[]) => chosen.map((i) => askedText(rows[i].messages));
  const { nearDuplicate } = options;
  const leaks = findLeaks(texts(held), texts(seen), { nearDuplicate, containment: PASSAGES });
  const dropped = new Set(leaks.flatMap((leak) => [...leak.seen].map((at) => seen[at])));
  return splits.map((split, i) => (dropped.has(i) ? undefined : split));
}

function toExample(row: Row & { line: number }): Example {
  const { content: _content, trimmed: _trimmed, ...example } = row;
  return example;
}

function writeRows(path: string, rows: readonly unknown[]): void {
  writeDurably(path, (write) => {
    for (let at = 0; at < rows.length; at += 1000) write(Buffer.from(toJsonl(rows.slice(at, at + 1000))));
  });
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Record<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return Object.fromEntries([...counts].sort((a, b) => b[1] - a[1]));
}

function warningsFor(facts: ImportFacts): string[] {
  const { splits } = facts;
  return [
    facts.rejected > 0 && `${facts.rejected} of ${facts.rows} rows were refused: see rejects.jsonl`,
    facts.droppedFromTrain > 0 &&
      `${facts.droppedFromTrain} training rows were left out because they (nearly) repeat rows of the test split`,
    splits.test < 59 && `only ${splits.test} test rows: even a faultless student needs 59 for a verdict of "proven"`,
    splits.train < 100 && `only ${splits.train} training rows: expect a weak student`,
  ].filter((warning) => warning !== false);
}

function allBad(file: string, rejects: Reject[]): CupelError {
  if (rejects.length === 0) {
    return new CupelError('the file is empty', { place: { file }, remedy: 'record some traffic first', exitCode: 2 });
  }
  const first = rejects.slice(0, 3).map(({ line, reason }) => `line ${line}: ${reason}`);
  const more = rejects.length > 3 ? `; and ${rejects.length - 3} more` : '';
  return new CupelError(`none of ${rejects.length} rows is a usable conversation: ${first.join('; ')}${more}`, {
    place: { file, line: rejects[0].line },
    remedy: 'each line must be {"messages": [{"role": "user", ...}, {"role": "assistant", ...}]}',
    exitCode: 2,
  });
}

function nothingToTrain(run: ImportRun, facts: ImportFacts): CupelError {
  const why =
    facts.droppedFromTrain > 0 ? 'every training row repeats the test split' : 'too few rows to hold some out';
  return new CupelError(`nothing is left to train on: ${why}`, {
    place: { file: run.traces },
    remedy: 'record more traffic, or give another --test file',
    exitCode: 2,
  });
}
