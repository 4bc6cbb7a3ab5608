// The student's answers: asked with several requests in flight, each appended to disk, so that a killed run goes on.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { diskError } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import type { Progress } from '../base/progress.ts';
import type { Completer, Completion } from '../chat/completer.ts';
import { type Signals, signalsOf } from '../chat/confidence.ts';
import { type Example, promptOf } from '../chat/messages.ts';

/** A line of answers.jsonl. */
export interface Answer extends Omit<Completion, 'finishReason' | 'logprobs'> {
  id: string;
  finishReason: Completion['finishReason'] | 'failed';
  /** From its token probabilities, when they were asked for. */
  signals?: Signals;
  /** Milliseconds since 1970. */
  startedAt: number;
  /** Why there is no answer, e.g. the conversation does not fit the context. It counts as wrong. */
  error?: string;
}

export interface AnswerRun {
  completer: Completer;
  examples: readonly Example[];
  maxTokens: (example: Example) => number;
  /** The closed set that answers are held to. */
  labels?: string[];
  /** answers.jsonl; what it holds is not asked again. */
  file: string;
  /** 0, greedy, without it. */
  temperature?: number;
  seed?: number;
  /** Keeps the signals of confidence with each answer. */
  withSignals?: boolean;
  progress: Progress;
  signal?: AbortSignal;
}

/**
 * Asks for what is not answered yet and returns all answers in the order of the examples.
 * @throws CupelError when no conversation at all could be answered; the signal's reason when aborted; whatever the completer
 * throws that is no CupelError, because it is not about the conversation
 */
export async function answerAll(run: AnswerRun): Promise<Answer[]> {
  const answers = new Map(readAnswers(run.file).map((answer) => [answer.id, answer]));
  const open = run.examples.filter((example) => !answers.has(example.id));
  const already = run.examples.length - open.length;
  const fd = openSync(run.file, 'a');
  const started = Date.now();
  let next = 0;
  const work = async () => {
    while (next < open.length) {
      run.signal?.throwIfAborted();
      const answer = await ask(run, open[next++]);
      append(fd, answer, run.file);
      answers.set(answer.id, answer);
      const rate = (answers.size - already) / Math.max(0.001, (Date.now() - started) / 1000);
      const left = run.examples.length - answers.size;
      run.progress({
        stage: 'evaluate',
        done: answers.size,
        total: run.examples.length,
        unit: 'items',
        rate,
        secondsLeft: left / rate,
      });
    }
  };
  try {
    const lanes = Array.from({ length: Math.max(1, Math.min(run.completer.concurrency, open.length)) }, work);
    const failed = (await Promise.allSettled(lanes)).find((lane) => lane.status === 'rejected');
    if (failed) throw failed.reason;
  } finally {
    closeSync(fd);
  }
  const all = run.examples.map((example) => answers.get(example.id)!);
  if (all.length > 0 && all.every((answer) => answer.error !== undefined)) throw nothingAnswered(all[0], run.file);
  return all;
}

/** Lines of a file that may end in half a line, which is cut off. */
function readAnswers(file: string): Answer[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const end = bytes.lastIndexOf(10) + 1;
  if (end < bytes.length) truncateSync(file, end);
  return bytes
    .subarray(0, end)
    .toString('utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Answer);
}

async function ask(run: AnswerRun, example: Example): Promise<Answer> {
  const startedAt = Date.now();
  const { messages, tools } = { messages: promptOf(example), tools: example.tools };
  try {
    const { withSignals: logprobs, labels, signal } = run;
    const { temperature = 0, seed } = run;
    const maxTokens = run.maxTokens(example);
    const request = { messages, tools, maxTokens, temperature, seed, labels, logprobs, signal };
    const { logprobs: known, ...answer } = await run.completer.complete(request);
    const signals = known && { signals: signalsOf(known, answer.finishReason === 'stop') };
    return { id: example.id, startedAt, ...answer, ...signals };
  } catch (error) {
    if (!(error instanceof CupelError) || run.signal?.aborted) throw error;
    const seconds = (Date.now() - startedAt) / 1000;
    const nothing = { text: '', promptTokens: 0, completionTokens: 0, seconds };
    return { id: example.id, startedAt, ...nothing, finishReason: 'failed', error: error.message };
  }
}

function append(fd: number, answer: Answer, file: string): void {
  try {
    writeSync(fd, `${JSON.stringify(answer)}\n`);
    fsyncSync(fd);
  } catch (error) {
    throw diskError(error, file);
  }
}

function nothingAnswered(first: Answer, file: string): CupelError {
  return new CupelError(`the student answered no item at all; the first failed with: ${first.error}`, {
    place: { file },
    remedy: 'check the context size of the model against the length of the conversations',
  });
}

/** Seconds during which at least one request was in flight: gaps between a kill and the rerun do not count. */
export function busySeconds(answers: readonly Pick<Answer, 'startedAt' | 'seconds'>[]): number {
  const spans = answers.map(({ startedAt, seconds }) => [startedAt / 1000, startedAt / 1000 + seconds]);
  spans.sort((a, b) => a[0] - b[0]);
  let busy = 0;
  let until = Number.NEGATIVE_INFINITY;
  for (const [from, to] of spans) {
    busy += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return busy;
}
