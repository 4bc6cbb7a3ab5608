// Who answers: the student where it is sure enough, else the teacher, within a budget; and what is known of both so far.
import { createHash } from 'node:crypto';
import { Counter, Gauge, type Registry } from 'prom-client';
import { agreementOf, type Calibration, confidenceOf, signalsOf } from '../../chat/confidence.ts';
import type { GenerateResult } from '../engine/protocol.ts';
import { Breaker } from './breaker.ts';
import { HourlyBudget } from './budget.ts';
import { type Asked, fits, labelIn, type Said, saidIn, sameSaid } from './said.ts';
import { StreamedAnswer } from './streamed.ts';
import {
  askTeacher,
  streamTeacher,
  type TeacherAnswer,
  TeacherAway,
  TeacherBrokeOff,
  type TeacherSettings,
  type TeacherUsage,
} from './teacher.ts';

/**
 * `cascade`: the student answers what it is sure of. `shadow`: the teacher answers, the student silently beside it. `canary`: the
 * student answers a share of the callers, the others are answered as in `shadow`.
 */
export type CascadeMode = 'cascade' | 'shadow' | 'canary';

export interface CascadeSettings {
  mode: CascadeMode;
  teacher: TeacherSettings;
  calibration: Calibration;
  /** Further answers that are drawn and compared with the first, as many as the calibration was fitted with. */
  agreement?: number;
  /** The student answers from this confidence on; null: never. */
  threshold: number | null;
  /** Share of the callers that a canary answers, 0 to 1. */
  share: number;
  /** US dollars that the teacher may cost within any hour. */
  usdPerHour?: number;
  usdOf: (usage: TeacherUsage) => number;
  /** Keeps an exchange with the teacher for the next training. */
  record?: (row: object) => void;
  /** Keeps what callers were answered and what the teacher cost, in US dollars. */
  account?: { answered(by: Answerer): void; spent(usd: number): void };
  /** Live statistics of paired scores: 1 where the student's answer equals the teacher's. */
  paired?: { add(student: number, teacher: number): void; bounds(): { lower: number; upper: number } };
}

/** `teacher-away`: it gave no answer of use. `raw-prompt`: of `/v1/completions`, which the student always answers: it was calibrated on conversations. */
export type Reason = 'confident' | 'unsure' | 'budget' | 'teacher-away' | 'shadow' | 'canary' | 'raw-prompt';
export type Answerer = 'student' | 'teacher';

export class Cascade {
  readonly settings: CascadeSettings;
  readonly #budget: HourlyBudget;
  readonly #breaker = new Breaker();
  readonly #answers: Counter<'by' | 'reason'>;
  readonly #counts = new Map<string, number>();
  #pairs = { n: 0, equal: 0 };

  constructor(settings: CascadeSettings, registry: Registry) {
    this.settings = settings;
    this.#budget = new HourlyBudget(settings.usdPerHour);
    const registers = [registry];
    const help = 'Answers of the cascade by who gave them and why';
    this.#answers = new Counter({ name: 'cupel_cascade_answers_total', help, labelNames: ['by', 'reason'], registers });
    const [budget, breaker] = [this.#budget, this.#breaker];
    new Gauge({
      name: 'cupel_cascade_teacher_away',
      help: '1 while the teacher is taken to be away, after failures in a row',
      registers,
      collect() {
        this.set(breaker.away ? 1 : 0);
      },
    });
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

  /** Further answers to draw for each request. */
  get samples(): number {
    return this.settings.mode === 'cascade' ? (this.settings.agreement ?? 0) : 0;
  }

  /** 0 for an answer that does not have the shape that was asked for. @param others further answers, drawn at random */
  confidence(
    asked: Asked,
    { text, finishReason, logprobs, confidence }: GenerateResult,
    said: Said,
    others: readonly string[],
  ): number {
    const known = logprobs?.map(({ logprob }) => logprob) ?? (confidence === undefined ? [] : [Math.log(confidence)]);
    if (known.length === 0 || !fits(asked, said)) return 0;
    const signals = signalsOf(known, finishReason === 'stop');
    const all = others.length > 0 ? { ...signals, agreement: agreementOf(text, others) } : signals;
    return confidenceOf(all, text, this.settings.calibration);
  }

  /**
   * Asks the teacher, pays, and records what may be learned from: whole answers of the shape that was asked for.
   * From a closed set the answer must be, so that it is awaited whole; one that is none of it counts as no answer.
   * @param onChunk for a streamed answer
   * @throws TeacherAway, TeacherBrokeOff
   */
  async ask(
    body: Asked & { messages: readonly object[] },
    signal: AbortSignal,
    onChunk?: (chunk: object) => void,
  ): Promise<TeacherAnswer> {
    const { teacher, record } = this.settings;
    const closed = body.guided_choice;
    const answer = await this.#tried(() =>
      this.#paid(body, () =>
        onChunk && !closed ? streamTeacher(teacher, body, signal, onChunk) : askTeacher(teacher, body, signal),
      ),
    );
    const { usage, choices } = answer;
    if (closed) {
      const label = labelIn(closed, saidIn(choices[0].message));
      if (label === undefined) throw new TeacherAway('the teacher answered outside of the closed set', true);
      choices[0].message.content = label;
      if (onChunk) for (const chunk of new StreamedAnswer().chunksOf(answer)) onChunk(chunk);
    }
    const messages = [...body.messages, choices[0].message];
    const { tools } = body;
    if (teaches(body, choices[0]))
      record?.({ model: teacher.model, messages, ...(tools ? { tools } : {}), ...(usage && { usage }) });
    return answer;
  }

  /** Does not ask a teacher that has failed again and again. */
  async #tried(ask: () => Promise<TeacherAnswer>): Promise<TeacherAnswer> {
    if (!this.#breaker.admits()) throw new TeacherAway('the teacher has failed again and again');
    try {
      const answer = await ask();
      this.#breaker.succeeded();
      return answer;
    } catch (error) {
      if (error instanceof TeacherAway && error.refused) this.#breaker.succeeded();
      else if (error instanceof TeacherAway || error instanceof TeacherBrokeOff) this.#breaker.failed();
      else this.#breaker.leftOpen();
      throw error;
    }
  }

  /** A teacher that reports no usage costs too: what it read and wrote is estimated. */
  async #paid(body: object, ask: () => Promise<TeacherAnswer>): Promise<TeacherAnswer> {
    const pay = (usage: TeacherUsage) => {
      const usd = this.settings.usdOf(usage);
      this.#budget.spend(usd);
      this.settings.account?.spent(usd);
    };
    try {
      const answer = await ask();
      pay(answer.usage ?? estimate(body, JSON.stringify(answer.choices[0].message)));
      return answer;
    } catch (error) {
      if (error instanceof TeacherBrokeOff) pay(estimate(body, error.text));
      throw error;
    }
  }

  answered(by: Answerer, reason: Reason): void {
    this.#answers.inc({ by, reason });
    this.settings.account?.answered(by);
    this.#counts.set(`${by} ${reason}`, (this.#counts.get(`${by} ${reason}`) ?? 0) + 1);
  }

  /** Both have answered the same request. */
  compare(student: Said, { choices }: TeacherAnswer): void {
    const equal = sameSaid(student, saidIn(choices[0].message)) ? 1 : 0;
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
      teacher_away: this.#breaker.away,
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

/** False for an answer that was cut off or filtered, or that does not have the shape that was asked for. */
function teaches(asked: Asked, { message, finish_reason }: TeacherAnswer['choices'][number]): boolean {
  return (finish_reason === 'stop' || finish_reason === 'tool_calls') && fits(asked, saidIn(message));
}

const BYTES_PER_TOKEN = 4;

function estimate(body: object, answer: string): TeacherUsage {
  const tokens = (text: string) => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
  return { prompt_tokens: tokens(JSON.stringify(body)), completion_tokens: tokens(answer) };
}
