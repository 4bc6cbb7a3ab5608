// Who answers: the student where it is sure enough, else the teacher, within a budget; and what is known of both so far.
import { createHash } from 'node:crypto';
import { Counter, Gauge, type Registry } from 'prom-client';
import { canonicalJson } from '../../base/hash.ts';
import { type Calibration, confidenceOf, isJson, signalsOf } from '../../chat/confidence.ts';
import type { GenerateResult } from '../engine/protocol.ts';
import { HourlyBudget } from './budget.ts';
import { askTeacher, type TeacherAnswer, type TeacherSettings, type TeacherUsage } from './teacher.ts';

/**
 * `cascade`: the student answers what it is sure of. `shadow`: the teacher answers, the student silently beside it. `canary`: the
 * student answers a share of the callers, the others are answered as in `shadow`.
 */
export type CascadeMode = 'cascade' | 'shadow' | 'canary';

export interface CascadeSettings {
  mode: CascadeMode;
  teacher: TeacherSettings;
  calibration: Calibration;
  /** The student answers from this confidence on; null: never. */
  threshold: number | null;
  /** Share of the callers that a canary answers, 0 to 1. */
  share: number;
  /** US dollars that the teacher may cost within any hour. */
  usdPerHour?: number;
  usdOf: (usage: TeacherUsage) => number;
  /** Keeps an exchange with the teacher for the next training. */
  record?: (row: object) => void;
  /** Live statistics of paired scores: 1 where the student's answer equals the teacher's. */
  paired?: { add(student: number, teacher: number): void; bounds(): { lower: number; upper: number } };
}

export type Reason = 'confident' | 'unsure' | 'budget' | 'teacher-away' | 'shadow' | 'canary';
export type Answerer = 'student' | 'teacher';

export class Cascade {
  readonly settings: CascadeSettings;
  readonly #budget: HourlyBudget;
  readonly #answers: Counter<'by' | 'reason'>;
  readonly #counts = new Map<string, number>();
  #pairs = { n: 0, equal: 0 };

  constructor(settings: CascadeSettings, registry: Registry) {
    this.settings = settings;
    this.#budget = new HourlyBudget(settings.usdPerHour);
    const registers = [registry];
    const help = 'Answers of the cascade by who gave them and why';
    this.#answers = new Counter({ name: 'cupel_cascade_answers_total', help, labelNames: ['by', 'reason'], registers });
    const budget = this.#budget;
    new Gauge({
      name: 'cupel_cascade_teacher_usd_last_hour',
      help: 'US dollars that the teacher cost within the last hour',
      registers,
      collect() {
        this.set(budget.spent());
      },
    });
  }

  /** Whether the teacher answers this caller before the student is asked at all. */
  teacherFirst(caller: string): boolean {
    const { mode, share } = this.settings;
    return mode === 'shadow' || (mode === 'canary' && !inShare(caller, share));
  }

  /** Why the student's answer is given, or null: the teacher is to be asked. */
  keep(confidence: number): Reason | null {
    const { mode, threshold } = this.settings;
    if (mode === 'canary') return 'canary';
    if (threshold !== null && confidence >= threshold) return 'confident';
    return this.#budget.exhausted() ? 'budget' : null;
  }

  get budgetSpent(): boolean {
    return this.#budget.exhausted();
  }

  confidence({ text, finishReason, logprobs, confidence }: GenerateResult): number {
    const known = logprobs?.map(({ logprob }) => logprob) ?? (confidence === undefined ? [] : [Math.log(confidence)]);
    return known.length > 0
      ? confidenceOf(signalsOf(known, finishReason === 'stop'), text, this.settings.calibration)
      : 0;
  }

  /** Asks the teacher, pays, and records what may be learned from: whole answers. @throws TeacherAway */
  async ask(body: { messages: readonly object[] }, signal: AbortSignal): Promise<TeacherAnswer> {
    const { teacher, usdOf, record } = this.settings;
    const answer = await askTeacher(teacher, body, signal);
    const { usage, choices } = answer;
    if (usage) this.#budget.spend(usdOf(usage));
    const messages = [...body.messages, choices[0].message];
    const tools = (body as { tools?: unknown }).tools;
    if (teaches(body, choices[0]))
      record?.({ model: teacher.model, messages, ...(tools ? { tools } : {}), ...(usage && { usage }) });
    return answer;
  }

  answered(by: Answerer, reason: Reason): void {
    this.#answers.inc({ by, reason });
    this.#counts.set(`${by} ${reason}`, (this.#counts.get(`${by} ${reason}`) ?? 0) + 1);
  }

  /** Both have answered the same request. */
  compare(student: string, teacher: string): void {
    const equal = plain(student) === plain(teacher) ? 1 : 0;
    this.#pairs = { n: this.#pairs.n + 1, equal: this.#pairs.equal + equal };
    this.settings.paired?.add(equal, 1);
  }

  /** GET /v1/cascade */
  status(): object {
    const { mode, threshold, share, usdPerHour, teacher, paired } = this.settings;
    const answers = [...this.#counts].map(([key, count]) => {
      const [by, reason] = key.split(' ');
      return { by, reason, count };
    });
    const { n, equal } = this.#pairs;
    const { lower = 0, upper = Number.POSITIVE_INFINITY } = n > 0 ? (paired?.bounds() ?? {}) : {};
    return {
      mode,
      teacher: teacher.model,
      threshold,
      ...(mode === 'canary' && { share }),
      answers,
      usd_last_hour: this.#budget.spent(),
      usd_per_hour_limit: usdPerHour ?? null,
      paired: { n, equal, ratio: n > 0 ? equal / n : null, lower, upper: Number.isFinite(upper) ? upper : null },
    };
  }
}

/** The same caller is always on the same side. */
function inShare(caller: string, share: number): boolean {
  return createHash('sha256').update(`canary ${caller}`).digest().readUInt32LE(0) / 2 ** 32 < share;
}

/** False for an answer that was cut off or filtered, or that is no JSON where JSON was asked for. */
function teaches(asked: object, { message, finish_reason }: TeacherAnswer['choices'][number]): boolean {
  if (finish_reason === 'tool_calls') return true;
  const format = (asked as { response_format?: { type?: string } }).response_format?.type ?? 'text';
  return finish_reason === 'stop' && (format === 'text' || isJson(message.content ?? ''));
}

/** JSON counts by its content, text by its words. */
function plain(text: string): string {
  try {
    return canonicalJson(JSON.parse(text));
  } catch {
    return text.trim().replace(/\s+/g, ' ');
  }
}
