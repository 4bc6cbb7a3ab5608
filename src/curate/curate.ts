// The curate stage: recorded conversations in, those worth learning from out, with a list of what was dropped and why.
import { join } from 'node:path';
import { writeDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { toJsonl } from '../base/jsonl.ts';
import { type Progress, silent } from '../base/progress.ts';
import { distinctiveShingles, jaccard, nearDuplicatePairs, shingles } from '../base/similarity.ts';
import { answerOf, messageText, promptOf } from '../chat/messages.ts';
import { type Balance, balanceOf, overBalance } from './balance.ts';
import { findContradictions } from './contradictions.ts';
import { isRefusal, truncation } from './faults.ts';
import { readConversations } from './formats/read.ts';
import { type Row, readRow } from './row.ts';
import { askedText } from './split.ts';
import { type Statistics, statisticsOf } from './text-statistics.ts';

/** Raise when the same input gives other output. */
export const CURATE_VERSION = 2;

export interface CurateOptions {
  maxCharacters: number;
  maxLineBytes: number;
  /** Jaccard similarity from which two questions with like answers count as one. */
  nearDuplicate: number;
  /** What happens to rows that answer one question differently. */
  contradictions: 'flag' | 'drop';
  /** No answer may have more than this many times the rows of the median one; absent: as it is. */
  balance?: number;
}

export const CURATE_DEFAULTS: CurateOptions = {
  maxCharacters: 200_000,
  maxLineBytes: 16 << 20,
  nearDuplicate: 0.9,
  contradictions: 'flag',
};

/** A row that was left out: in `drops.jsonl`. */
export interface Drop {
  /** Line (or row) of the file, from 1. */
  line: number;
  id?: string;
  reason: string;
  /** The row that it repeats. */
  like?: string;
  question: string;
  answer: string;
}

export interface CurateFacts extends Record<string, unknown> {
  rows: number;
  kept: number;
  dropped: number;
  /** Kind of reason -> rows. */
  reasons: Record<string, number>;
  /** Questions that got different answers, and the rows with them; listed in `flags.jsonl`. */
  contradictions: { questions: number; rows: number };
  /** Rows whose answer is in another language than the question. */
  languageMismatch: number;
  statistics: Statistics;
  balance: Balance;
}

type Read = Row & { line: number; finish: unknown };

export interface CurateRun {
  /** Any file that import takes. */
  traces: string;
  folder: string;
  options?: Partial<CurateOptions>;
  progress?: Progress;
}

/**
 * Writes dataset.jsonl (OpenAI chat rows, in the order of the file), drops.jsonl (`Drop`s) and flags.jsonl.
 * @throws CupelError (exit code 2) when nothing is left
 */
export async function curate(run: CurateRun): Promise<CurateFacts> {
  const options = { ...CURATE_DEFAULTS, ...run.options };
  const progress = run.progress ?? silent;
  const { rows, drops } = await readAll(run.traces, options, progress);
  const total = rows.length + drops.length;
  const left = new Sieve(rows, drops);
  left.drop((row) => (isRefusal(answerOf(row)) ? { reason: 'refusal' } : undefined));
  left.drop((row) => {
    const why = truncation(answerOf(row), row.finish);
    return why === undefined ? undefined : { reason: `truncated: ${why}` };
  });
  left.drop((row) => (Number(row.tags?.score) < 0 ? { reason: 'bad score' } : undefined));
  left.dropRepeats();
  progress({ stage: 'curate', message: 'looking for near-duplicates' });
  left.dropNearRepeats(options.nearDuplicate);
  const contradictions = findContradictions(left.rows.map(questionOf), left.rows.map(answerOf));
  const flags = contradictions.map(({ rows: at, answers }) => ({
    kind: 'contradiction',
    question: askedText(promptOf(left.rows[at[0]])).slice(0, 500),
    answers,
    rows: at.map((i) => ({
      line: left.rows[i].line,
      id: left.rows[i].id,
      answer: answerOf(left.rows[i]).slice(0, 200),
    })),
  }));
  if (options.contradictions === 'drop') {
    const wrong = new Set(contradictions.flatMap(({ rows: at }) => at.map((i) => left.rows[i])));
    left.drop((row) => (wrong.has(row) ? { reason: 'contradiction' } : undefined));
  }
  if (options.balance !== undefined) {
    const over = overBalance(
      left.rows.map(answerOf),
      left.rows.map((row) => row.content),
      options.balance,
    );
    const surplus = new Set(over.map((i) => left.rows[i]));
    left.drop((row) => (surplus.has(row) ? { reason: 'balance' } : undefined));
  }
  if (left.rows.length === 0) throw nothingLeft(run.traces, drops);
  drops.sort((a, b) => a.line - b.line);
  write(join(run.folder, 'dataset.jsonl'), left.rows.map(toChatRow));
  write(join(run.folder, 'drops.jsonl'), drops);
  write(join(run.folder, 'flags.jsonl'), flags);
  const statistics = statisticsOf(
    left.rows.map((row) => ({ question: askedText(promptOf(row)), answer: answerOf(row) })),
  );
  return {
    rows: total,
    kept: left.rows.length,
    dropped: drops.length,
    reasons: countKinds(drops),
    contradictions: {
      questions: contradictions.length,
      rows: contradictions.reduce((sum, one) => sum + one.rows.length, 0),
    },
    languageMismatch: statistics.languageMismatch,
    statistics,
    balance: balanceOf(left.rows.map(answerOf)),
  };
}

/** Rows that are left, and the list of those that are not. */
class Sieve {
  rows: Read[];
  #drops: Drop[];

  constructor(rows: Read[], drops: Drop[]) {
    this.rows = rows;
    this.#drops = drops;
  }

  drop(judge: (row: Read) => { reason: string; like?: string } | undefined): void {
    this.rows = this.rows.filter((row) => {
      const judged = judge(row);
      if (judged) this.#drops.push({ ...describe(row), ...judged });
      return !judged;
    });
  }

  /** The first of equal rows stays. */
  dropRepeats(): void {
    const seen = new Map<string, string>();
    this.drop((row) => {
      const like = seen.get(row.content);
      if (like === undefined) seen.set(row.content, row.id);
      return like === undefined ? undefined : { reason: 'exact duplicate', like };
    });
  }

  /** Of rows with nearly the same question and nearly the same answer, the first stays. */
  dropNearRepeats(threshold: number): void {
    // a long prompt that all rows share says nothing about how alike they are
    const questions = distinctiveShingles(this.rows.map((row) => askedText(promptOf(row))));
    const prompts = this.rows.map(promptTextOf);
    const answers = this.rows.map((row) => shingles(answerOf(row)));
    const like = new Map<number, number>();
    nearDuplicatePairs(
      questions,
      { threshold },
      (i, j) => {
        if (prompts[i] === prompts[j] && jaccard(answers[i], answers[j]) >= threshold) like.set(j, i);
      },
      // a chain of likenesses must not reach from one text to a very different one: only what stays counts
      (i, j) => like.has(i) || like.has(j),
    );
    const before = this.rows;
    const at = new Map(before.map((row, i) => [row, i]));
    this.drop((row) => {
      const first = like.get(at.get(row)!);
      return first === undefined ? undefined : { reason: 'near-duplicate', like: before[first].id };
    });
  }
}

async function readAll(file: string, options: CurateOptions, progress: Progress) {
  const rows: Read[] = [];
  const drops: Drop[] = [];
  for await (const { line, text, tooLong, invalidUtf8, reason } of readConversations(file, options.maxLineBytes)) {
    if (!tooLong && !reason && text.trim() === '') continue;
    const refuse = (why: string) =>
      drops.push({ line, reason: `unusable: ${why}`, question: text.slice(0, 200), answer: '' });
    if (line % 1000 === 0) progress({ stage: 'curate', done: line, unit: 'rows' });
    if (tooLong || invalidUtf8 || reason) {
      refuse(reason ?? (tooLong ? 'the line is too long' : 'the line is not UTF-8'));
      continue;
    }
    const result = readRow(text, options);
    if ('reason' in result) refuse(result.reason);
    else rows.push({ ...result.row, line, finish: (JSON.parse(text) as { finish_reason?: unknown }).finish_reason });
  }
  return { rows, drops };
}

/** Everything before the answer: the same words under another system prompt are another question. */
function questionOf(row: Row): string {
  return promptOf(row as Read)
    .map(messageText)
    .join('\n');
}

/** The prompt of the system, which the same question may be asked under. */
function promptTextOf(row: Row): string {
  const isPrompt = ({ role }: { role: string }) => role === 'system' || role === 'developer';
  return row.messages.filter(isPrompt).map(messageText).join('\n');
}

function describe(row: Read): Omit<Drop, 'reason'> {
  const question = askedText(promptOf(row)).slice(0, 500);
  return { line: row.line, id: row.id, question, answer: answerOf(row).slice(0, 500) };
}

function toChatRow({ content: _c, trimmed: _t, line: _l, finish: _f, ...row }: Read) {
  return row;
}

function write(path: string, rows: readonly unknown[]): void {
  writeDurably(path, (out) => {
    for (let at = 0; at < rows.length; at += 1000) out(Buffer.from(toJsonl(rows.slice(at, at + 1000))));
  });
}

function countKinds(drops: readonly Drop[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of drops) {
    const kind = reason.split(':', 1)[0];
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

function nothingLeft(file: string, drops: readonly Drop[]): CupelError {
  const reasons = Object.entries(countKinds(drops)).map(([reason, count]) => `${count} x ${reason}`);
  return new CupelError(`nothing is left of ${drops.length} rows: ${reasons.join(', ') || 'the file is empty'}`, {
    place: { file },
    remedy: 'look at the first rows: each must be a conversation that ends in a good answer',
    exitCode: 2,
  });
}
