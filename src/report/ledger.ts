// The cost ledger: what was spent to make the student, and what 1,000 requests cost with it and with its teacher.
import type { Artifact } from '../artifacts/store.ts';
import { type BreakEven, breakEven, type Day } from './break-even.ts';
import type { Currency } from './currency.ts';
import type { Evaluated } from './evaluated.ts';
import type { MachineChoice } from './machine.ts';
import { type MachinePrice, machinePrice, priceOf, type TokenPrice } from './prices.ts';
import type { Served } from './served.ts';

/** Share of the teacher's cost below which the student counts as cheap. */
export const COST_LIMIT = 0.05;
const HOURS_PER_MONTH = 730;

export interface LedgerOptions {
  /** See `readServed`. */
  served?: Served;
  /** USD for an hour of the machine that trains and serves; without it a default by cores. */
  machineHour?: number;
  /** A machine with its price; wins over `machineHour`. */
  machine?: MachineChoice;
  /** Drawn by the machine under load, as stated. */
  watts?: number;
  /** The teacher's requests by day, for the date of break-even. */
  traffic?: readonly Day[];
  /** Who the teacher was, where the rows do not say, or say it wrong. */
  teacherModel?: string;
  /** Of the vendor's price list, where it has several, and its rate. */
  priceCurrency?: Currency;
  /** USD per million tokens; overrides the price table. */
  teacherPrice?: { input: number; output: number; cached?: number };
}

export interface Spent {
  stage: string;
  seconds: number;
  usd: number;
}

export interface TeacherCost {
  model: string;
  requests: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  estimated: boolean;
  price: TokenPrice;
  usd: number;
}

export interface Energy {
  /** By the processor's counters (its packages and memory, not the power supply), or at the power that was stated. */
  source: 'measured' | 'stated';
  watts: number;
  spentKwh: number;
  kwhPer1k: number;
}

export interface Ledger {
  currency: 'USD';
  machine: MachinePrice;
  /** Once: making the student, stage by stage. */
  spent: Spent[];
  spentUsd: number;
  /** Again and again: serving at the measured speed, with the machine fully used. */
  student: { requestsPerSecond: number; usdPer1k: number; usdPer1kCorrect: number | null };
  teacher: {
    usdPer1k: number;
    usdPer1kCorrect: number | null;
    models: TeacherCost[];
    assumed: boolean;
    estimated: boolean;
  };
  /** All of the recorded traffic, learned from and tested on, at the teacher's prices: paid before, and no part of `spent`. */
  traffic: { requests: number; usd: number } | null;
  /** student / teacher. */
  share: number;
  /** The student asked every time and the teacher for what it hands over; null where no cascade was fitted, or all is handed over. */
  cascade: { local: number; teacherUsdPer1k: number; usdPer1k: number; share: number } | null;
  /** What callers were answered and the teacher cost while a cascade was served; null where none was. */
  served: Served | null;
  /** What a machine that runs all month asks for. */
  alwaysOn: {
    usdPerMonth: number;
    /** Requests a month from which an always-on machine costs less than the teacher, and less than 5% of it. */
    requestsToBreakEven: number;
    requestsForLimit: number;
    /** Requests a month that the machine can answer. */
    capacity: number;
  };
  /** Requests after which the money for making the student has come back, the machine fully used; null: never. */
  requestsToRepay: number | null;
  /** kWh to make the student, and for 1,000 requests; null where nothing measured it and nobody stated the power. */
  energy: Energy | null;
  /** From the traffic's trend, the machine running day and night; null without traffic. */
  breakEven: BreakEven | null;
}

/** USD per 1,000 requests of a machine at `usdPerHour` that answers so many a second. */
export function servingPer1k(usdPerHour: number, requestsPerSecond: number): number {
  return (1000 / requestsPerSecond / 3600) * usdPerHour;
}

/** USD of tokens at a list price; cached prompt tokens are part of the prompt tokens. */
export function tokensUsd(
  tokens: { promptTokens: number; cachedTokens: number; completionTokens: number },
  price: Pick<TokenPrice, 'input' | 'cached' | 'output'>,
): number {
  const fresh = tokens.promptTokens - tokens.cachedTokens;
  return (fresh * price.input + tokens.cachedTokens * price.cached + tokens.completionTokens * price.output) / 1e6;
}

/** The ledger of what manifests say; undefined before there is an evaluation. */
export function makeLedger(artifacts: readonly Artifact[], evaluated: Evaluated, options: LedgerOptions): Ledger {
  const cores = artifacts.at(-1)?.manifest.machine.cores ?? 2;
  const machine = options.machine ?? machinePrice(options.machineHour, cores);
  const speed = options.machine?.speed ?? 1;
  // what was made was made at the measured speed; only serving is asked "what if"
  const made = options.machine ? machinePrice(options.machineHour, cores) : machine;
  const spent: Spent[] = artifacts.map(({ manifest: { stage, seconds } }) => ({
    stage,
    seconds,
    usd: (seconds / 3600) * made.usdPerHour,
  }));
  const { judge } = evaluated;
  if (judge)
    spent.push({ stage: `judge (${judge.name})`, seconds: 0, usd: tokensUsd(judge.tokens, priceOf(judge.name)) });
  const spentUsd = spent.reduce((sum, entry) => sum + entry.usd, 0);
  const teacher = teacherCost(evaluated, options);
  const requestsPerSecond = evaluated.speed.requestsPerSecond * speed;
  const usdPer1k = servingPer1k(machine.usdPerHour, requestsPerSecond);
  const usdPerMonth = machine.usdPerHour * HOURS_PER_MONTH;
  const saved = (teacher.usdPer1k - usdPer1k) / 1000;
  return {
    currency: 'USD',
    machine,
    spent,
    spentUsd,
    student: { requestsPerSecond, usdPer1k, usdPer1kCorrect: perCorrect(usdPer1k, evaluated.quality.student) },
    teacher: { ...teacher, usdPer1kCorrect: perCorrect(teacher.usdPer1k, evaluated.quality.teacher) },
    traffic: trafficCost(evaluated, options),
    share: usdPer1k / teacher.usdPer1k,
    cascade: cascadeCost(evaluated, usdPer1k, teacher.usdPer1k),
    served: options.served ?? null,
    alwaysOn: {
      usdPerMonth,
      requestsToBreakEven: Math.ceil(usdPerMonth / (teacher.usdPer1k / 1000)),
      requestsForLimit: Math.ceil(usdPerMonth / ((COST_LIMIT * teacher.usdPer1k) / 1000)),
      capacity: Math.floor(requestsPerSecond * 3600 * HOURS_PER_MONTH),
    },
    requestsToRepay: saved > 0 ? Math.ceil(spentUsd / saved) : null,
    energy:
      (options.machine ? null : measuredEnergy(artifacts)) ?? statedEnergy(options.watts, spent, requestsPerSecond),
    breakEven: options.traffic
      ? breakEven({
          traffic: options.traffic,
          spentUsd,
          teacherUsdPerRequest: teacher.usdPer1k / 1000,
          machineUsdPerDay: machine.usdPerHour * 24,
          machineRequestsPerDay: requestsPerSecond * 86_400,
        })
      : null,
  };
}

function cascadeCost({ cascade }: Evaluated, student: number, teacher: number): Ledger['cascade'] {
  const local = cascade?.point.local ?? 0;
  if (local === 0) return null;
  const teacherUsdPer1k = (1 - local) * teacher;
  const usdPer1k = student + teacherUsdPer1k;
  return { local, teacherUsdPer1k, usdPer1k, share: usdPer1k / teacher };
}

/** Wrong answers cost as much as right ones: what 1,000 right ones take. */
function perCorrect(usdPer1k: number, quality: number): number | null {
  return quality > 0 ? usdPer1k / quality : null;
}

const JOULES_PER_KWH = 3.6e6;

/** Where every stage was measured; serving is what the evaluation drew, which loads the machine fully. */
function measuredEnergy(artifacts: readonly Artifact[]): Energy | null {
  const evaluation = artifacts.findLast(({ manifest }) => manifest.stage === 'evaluate')?.manifest;
  const requests = evaluation && (evaluation.facts as Partial<Evaluated>).student?.requests;
  if (!evaluation?.joules || !requests || artifacts.some(({ manifest }) => manifest.joules === undefined)) return null;
  const joules = artifacts.reduce((sum, { manifest }) => sum + manifest.joules!, 0);
  return {
    source: 'measured',
    watts: evaluation.joules / evaluation.seconds,
    spentKwh: joules / JOULES_PER_KWH,
    kwhPer1k: ((evaluation.joules / requests) * 1000) / JOULES_PER_KWH,
  };
}

function statedEnergy(watts: number | undefined, spent: readonly Spent[], requestsPerSecond: number): Energy | null {
  if (watts === undefined) return null;
  const seconds = spent.reduce((sum, entry) => sum + entry.seconds, 0);
  const kwh = (duration: number) => (watts * duration) / JOULES_PER_KWH;
  return { source: 'stated', watts, spentKwh: kwh(seconds), kwhPer1k: kwh(1000 / requestsPerSecond) };
}

function teacherCost(evaluated: Evaluated, options: LedgerOptions): Omit<Ledger['teacher'], 'usdPer1kCorrect'> {
  const models = costsOf(evaluated.teacher, options);
  const { requests, usd } = sumOf(models);
  return {
    usdPer1k: requests > 0 ? (usd / requests) * 1000 : 0,
    models,
    assumed: models.some((entry) => entry.price.assumed),
    estimated: models.some((entry) => entry.estimated),
  };
}

function costsOf(asked: Evaluated['teacher'], options: LedgerOptions): TeacherCost[] {
  return asked.map((tokens) => {
    const model = options.teacherModel ?? tokens.model;
    const price = givenPrice(options) ?? priceOf(model, options.priceCurrency);
    const { requests, promptTokens, cachedTokens, completionTokens, estimated } = tokens;
    const usd = tokensUsd(tokens, price);
    return { model, requests, promptTokens, cachedTokens, completionTokens, estimated, price, usd };
  });
}

function sumOf(costs: readonly TeacherCost[]): { requests: number; usd: number } {
  const requests = costs.reduce((sum, entry) => sum + entry.requests, 0);
  return { requests, usd: costs.reduce((sum, entry) => sum + entry.usd, 0) };
}

function trafficCost({ teacher, taught }: Evaluated, options: LedgerOptions): Ledger['traffic'] {
  return taught ? sumOf(costsOf([...taught, ...teacher], options)) : null;
}

function givenPrice({ teacherPrice }: LedgerOptions): TokenPrice | undefined {
  if (!teacherPrice) return undefined;
  const { input, output, cached = input } = teacherPrice;
  return { input, output, cached, from: '--teacher-price', source: 'as given', asOf: '', assumed: false };
}
