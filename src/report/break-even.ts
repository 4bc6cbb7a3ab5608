// When the money comes back: the traffic's own trend carried on, with its uncertainty, against what the machine costs.
import { readFileSync } from 'node:fs';
import { CupelError } from '../base/errors.ts';
import { Random } from '../base/random.ts';

/** Requests on one day (UTC). */
export interface Day {
  date: string;
  requests: number;
}

export interface BreakEvenInput {
  traffic: readonly Day[];
  spentUsd: number;
  teacherUsdPerRequest: number;
  /** Of the machine that serves the student, used or not. */
  machineUsdPerDay: number;
  /** That one machine can answer; more traffic needs more machines. */
  machineRequestsPerDay: number;
}

export interface BreakEven {
  /** ISO dates; null: not within ten years. `earliest` and `latest` hold 95% of the futures that the trend allows. */
  date: string | null;
  earliest: string | null;
  latest: string | null;
  /** Share of the futures in which it comes within ten years. */
  likely: number;
  requestsPerDay: number;
  /** Growth a month, as 0.1 for 10%. */
  growth: number;
  days: number;
}

const HORIZON = 3650;
const FUTURES = 2000;
const DAY = 86_400_000;

/**
 * A straight line through the logarithms of the days' requests (least squares); futures are drawn from the sampling
 * distribution of its two coefficients, with at least the noise that counting itself has (Poisson).
 * @throws CupelError for fewer than seven days
 */
export function breakEven(input: BreakEvenInput, seed = 1): BreakEven {
  const { traffic } = input;
  if (traffic.length < 7) {
    throw new CupelError(`a trend needs at least seven days of traffic, here are ${traffic.length}`, {
      place: { field: '--traffic' },
      remedy: 'give more days, or leave --traffic out',
      exitCode: 2,
    });
  }
  const trend = fitTrend(traffic);
  const random = new Random(seed);
  const start = Date.parse(traffic.at(-1)!.date);
  const { centre, slope, middle, centreError, slopeError, lift } = trend;
  // the line's height in the middle of the days and its slope are independent, its height at their end is not
  const future = (height: number, rise: number) => daysUntil(input, height - rise * middle + lift, rise);
  const futures = Array.from({ length: FUTURES }, () =>
    future(centre + centreError * random.normal(), slope + slopeError * random.normal()),
  ).sort((a, b) => a - b);
  const dateOf = (days: number) => (days <= HORIZON ? new Date(start + days * DAY).toISOString().slice(0, 10) : null);
  return {
    date: dateOf(future(centre, slope)),
    earliest: dateOf(futures[Math.floor(0.025 * FUTURES)]),
    latest: dateOf(futures[Math.ceil(0.975 * FUTURES) - 1]),
    likely: futures.filter((days) => days <= HORIZON).length / FUTURES,
    requestsPerDay: requestsAt(centre - slope * middle + lift),
    growth: Math.exp(slope * 30) - 1,
    days: traffic.length,
  };
}

/** Days after the last one until savings have covered what was spent; Infinity beyond the horizon. */
function daysUntil(input: BreakEvenInput, level: number, slope: number): number {
  let open = input.spentUsd;
  for (let day = 1; day <= HORIZON; day++) {
    // nothing grows for ever: at most a hundredfold of today
    const requests = requestsAt(Math.min(level + slope * day, level + Math.log(100)));
    const machines = requests > 0 ? Math.max(1, Math.ceil(requests / input.machineRequestsPerDay)) : 1;
    open -= requests * input.teacherUsdPerRequest - machines * input.machineUsdPerDay;
    // a billionth of it is rounding
    if (open <= 1e-9 * input.spentUsd) return day;
  }
  return Number.POSITIVE_INFINITY;
}

/** Without the half that the logarithms were given. */
function requestsAt(level: number): number {
  return Math.max(0, Math.exp(level) - HALF);
}

/** A day without any request has a logarithm with half a request more. */
const HALF = 0.5;

interface Trend {
  /** Of log(requests), in the middle of the days, `middle` days from the last (negative). */
  centre: number;
  slope: number;
  middle: number;
  centreError: number;
  slopeError: number;
  /** What the days' scatter adds to the mean beyond the median (log-normal). */
  lift: number;
}

function fitTrend(traffic: readonly Day[]): Trend {
  const last = Date.parse(traffic.at(-1)!.date);
  const x = traffic.map(({ date }) => (Date.parse(date) - last) / DAY);
  const y = traffic.map(({ requests }) => Math.log(requests + HALF));
  const n = x.length;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / n;
  const [mx, my] = [mean(x), mean(y)];
  const sxx = x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
  const slope = x.reduce((sum, value, i) => sum + (value - mx) * (y[i] - my), 0) / sxx;
  const residual = y.reduce((sum, value, i) => sum + (value - my - slope * (x[i] - mx)) ** 2, 0) / (n - 2);
  const counting = mean(traffic.map(({ requests }) => 1 / (requests + HALF)));
  const variance = Math.max(residual, counting);
  return {
    centre: my,
    slope,
    middle: mx,
    centreError: Math.sqrt(variance / n),
    slopeError: Math.sqrt(variance / sxx),
    lift: residual / 2,
  };
}

/**
 * Requests by day from a file: CSV with `date,requests`, or JSON lines with a time in `created`, `created_at`, `timestamp`,
 * `startTime` or `at` (seconds, milliseconds or ISO). Days without any count as none.
 * @throws CupelError for a line that is neither, because traffic left out is a wrong date
 */
export function readTraffic(file: string): Day[] {
  const counts = new Map<string, number>();
  textOf(file)
    .split(/\r?\n/)
    .forEach((line, i) => {
      if (line.trim() === '') return;
      const found = line.trimStart().startsWith('{') ? oneAt(line) : countIn(line);
      if (found) counts.set(found.date, (counts.get(found.date) ?? 0) + found.requests);
      else if (i > 0 || !/^\s*"?[A-Za-z]/.test(line)) throw noTraffic('no dated traffic is in this line', file, i + 1);
    });
  const dates = [...counts.keys()].sort();
  if (dates.length === 0) throw noTraffic('no dated traffic is in this file', file);
  const days = (Date.parse(dates.at(-1)!) - Date.parse(dates[0])) / DAY + 1;
  return Array.from({ length: days }, (_, i) => {
    const date = new Date(Date.parse(dates[0]) + i * DAY).toISOString().slice(0, 10);
    return { date, requests: counts.get(date) ?? 0 };
  });
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (cause) {
    throw noTraffic(`the traffic cannot be read: ${(cause as Error).message}`, file);
  }
}

function noTraffic(message: string, file: string, line?: number): CupelError {
  return new CupelError(message, {
    place: { file, line, field: '--traffic' },
    remedy: 'give CSV lines such as 2026-01-31,1200 (whole numbers), or JSON lines with `created`',
    exitCode: 2,
  });
}

/** Of a CSV line; a third cell, or a comma within a number, is not guessed at. */
function countIn(line: string): Day | undefined {
  const found = /^\s*"?(\d{4}-\d{2}-\d{2})(?:[T ][^",]*)?"?\s*,\s*(?:"(\d+)"|(\d+))\s*$/.exec(line);
  const date = found && dayOf(Date.parse(`${found[1]}T00:00:00Z`));
  return found && date === found[1] ? { date, requests: Number(found[2] ?? found[3]) } : undefined;
}

function oneAt(line: string): Day | undefined {
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const value = row.created ?? row.created_at ?? row.timestamp ?? row.startTime ?? row.at;
  const seconds = typeof value === 'number' || (typeof value === 'string' && /^\d+(\.\d+)?$/.test(value));
  const number = Number(value);
  const date = dayOf(seconds ? (number > 1e11 ? number : number * 1000) : Date.parse(String(value)));
  return date === undefined ? undefined : { date, requests: 1 };
}

/** UTC, between 2000 and 2100: other times are no traffic. */
function dayOf(time: number): string | undefined {
  const known = time >= Date.UTC(2000, 0, 1) && time < Date.UTC(2100, 0, 1);
  return known ? new Date(time).toISOString().slice(0, 10) : undefined;
}
