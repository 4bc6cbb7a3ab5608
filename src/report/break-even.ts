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
    throw new CupelError(`a trend needs at least seven days of traffic, here are ${traffic.length}`, { exitCode: 2 });
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
    requestsPerDay: Math.exp(centre - slope * middle + lift),
    growth: Math.exp(slope * 30) - 1,
    days: traffic.length,
  };
}

/** Days after the last one until savings have covered what was spent; Infinity beyond the horizon. */
function daysUntil(input: BreakEvenInput, level: number, slope: number): number {
  let open = input.spentUsd;
  for (let day = 1; day <= HORIZON; day++) {
    // nothing grows for ever: at most a hundredfold of today
    const requests = Math.exp(Math.min(level + slope * day, level + Math.log(100)));
    open -= requests * input.teacherUsdPerRequest - input.machineUsdPerDay;
    if (open <= 0) return day;
  }
  return Number.POSITIVE_INFINITY;
}

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
  // half a request more, so that a day without any has a logarithm
  const y = traffic.map(({ requests }) => Math.log(requests + 0.5));
  const n = x.length;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / n;
  const [mx, my] = [mean(x), mean(y)];
  const sxx = x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
  const slope = x.reduce((sum, value, i) => sum + (value - mx) * (y[i] - my), 0) / sxx;
  const residual = y.reduce((sum, value, i) => sum + (value - my - slope * (x[i] - mx)) ** 2, 0) / (n - 2);
  const counting = mean(traffic.map(({ requests }) => 1 / (requests + 0.5)));
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
 * @throws CupelError when there is none to be found
 */
export function readTraffic(file: string): Day[] {
  const counts = new Map<string, number>();
  const add = (date: string, requests: number) => counts.set(date, (counts.get(date) ?? 0) + requests);
  for (const line of readFileSync(file, 'utf8').split(/\r?\n/)) {
    const row = /^\s*"?(\d{4}-\d{2}-\d{2})[^,]*,\s*"?(\d+)/.exec(line);
    if (row) add(row[1], Number(row[2]));
    else if (line.startsWith('{')) {
      const date = dateIn(line);
      if (date) add(date, 1);
    }
  }
  const dates = [...counts.keys()].sort();
  if (dates.length === 0) {
    throw new CupelError('no dated traffic is in this file', {
      place: { file },
      remedy: 'give CSV lines such as 2026-01-31,1200, or JSON lines with `created`',
      exitCode: 2,
    });
  }
  const days = (Date.parse(dates.at(-1)!) - Date.parse(dates[0])) / DAY + 1;
  return Array.from({ length: days }, (_, i) => {
    const date = new Date(Date.parse(dates[0]) + i * DAY).toISOString().slice(0, 10);
    return { date, requests: counts.get(date) ?? 0 };
  });
}

function dateIn(line: string): string | undefined {
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const value = row.created ?? row.created_at ?? row.timestamp ?? row.startTime ?? row.at;
  const time =
    typeof value === 'number'
      ? value > 1e11
        ? value
        : value * 1000
      : typeof value === 'string'
        ? Date.parse(value)
        : Number.NaN;
  return Number.isFinite(time) ? new Date(time).toISOString().slice(0, 10) : undefined;
}
