// What-if machines, other currencies, the date of break-even and the quality-cost plane.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { breakEven, type Day, readTraffic } from './break-even.ts';
import { parseCurrency } from './currency.ts';
import { planeChart } from './html/plane.ts';
import { parseMachine } from './machine.ts';
import { parseTeacherPrice, priceOf } from './prices.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-further-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const dayAt = (i: number) => new Date(Date.UTC(2026, 0, 1 + i)).toISOString().slice(0, 10);
const steady = (requests: number, days = 30): Day[] =>
  Array.from({ length: days }, (_, i) => ({ date: dayAt(i), requests }));

describe('machines', () => {
  test('rented, bought, in another currency, and faster', () => {
    expect(parseMachine('a100-80g@1.2/h')).toMatchObject({ usdPerHour: 1.2, speed: 1, isDefault: false });
    expect(parseMachine('desk@2628/36mo').usdPerHour).toBeCloseTo(0.1, 12);
    expect(parseMachine('gpu@7.189CNY/h,x12')).toMatchObject({ speed: 12 });
    expect(parseMachine('gpu@7.189CNY/h').usdPerHour).toBeCloseTo(1, 12);
    expect(parseMachine('gpu@7CNY/h', parseCurrency('CNY=7')).usdPerHour).toBeCloseTo(1, 12);
  });

  test.each(['1.2', 'a@b/h', 'a@1/d', 'a@1/0mo', 'a@1/h,x0', 'a@1XXX/h'])('%s is refused', (text) =>
    expect(() => parseMachine(text)).toThrow(expect.objectContaining({ exitCode: 2 })),
  );
});

test('currencies at dated rates, or at a rate of one’s own', () => {
  expect(parseCurrency('cny')).toMatchObject({ code: 'CNY', perUsd: 7.189, asOf: '2024-12-31' });
  expect(parseCurrency('SEK=10.5')).toMatchObject({ code: 'SEK', perUsd: 10.5 });
  expect(parseCurrency('USD').perUsd).toBe(1);
  expect(() => parseCurrency('SEK')).toThrow(/no rate/);
  expect(() => parseCurrency('CNY=-1')).toThrow(/no rate/);
});

test('price tables in several currencies, and a price of one’s own', () => {
  expect(priceOf('deepseek-chat')).toMatchObject({ input: 0.28, output: 0.42 });
  const yuan = priceOf('deepseek-chat', parseCurrency('CNY'));
  expect(yuan.input).toBeCloseTo(2 / 7.189, 12);
  expect(yuan).toMatchObject({ asOf: '2025-09-29', note: expect.stringMatching(/2 and 3 CNY, at 7.189/) });
  expect(priceOf('gpt-4o', parseCurrency('CNY'))).toMatchObject({ input: 2.5 });
  expect(parseTeacherPrice('2,3CNY').output).toBeCloseTo(3 / 7.189, 12);
  // shown at one's own rate, a price in that currency is still the one that is listed
  const own = parseCurrency('CNY=7');
  expect(own.perUsd * priceOf('deepseek-chat', own).input).toBeCloseTo(2, 12);
  expect(priceOf('deepseek-chat', own).note).toMatch(/at 7 to the dollar \(as given\)/);
  expect(parseTeacherPrice('2,3CNY', own).output).toBeCloseTo(3 / 7, 12);
  expect(parseTeacherPrice('2.5,10,1.25')).toEqual({ input: 2.5, output: 10, cached: 1.25 });
  expect(() => parseTeacherPrice('2,3XYZ')).toThrow(/no rate/);
});

describe('break-even', () => {
  const plain = { spentUsd: 40, teacherUsdPerRequest: 0.005, machineUsdPerDay: 1, machineRequestsPerDay: 1e9 };

  test('traffic beyond what a machine can answer takes more machines', () => {
    // three of them: 5.00 - 3.00 saved a day, 40 are open
    const three = { ...plain, machineRequestsPerDay: 400 };
    expect(breakEven({ traffic: steady(1000), ...three }).date).toBe(dayAt(29 + 20));
    expect(breakEven({ traffic: steady(1000), ...plain, machineRequestsPerDay: 0 }).date).toBeNull();
  });

  test('no traffic at all is none, and never pays', () => {
    const found = breakEven({ traffic: steady(0), ...plain });
    expect(found).toMatchObject({ date: null, earliest: null });
    expect(found.likely).toBeLessThan(0.02);
    expect(found.requestsPerDay).toBeCloseTo(0, 9);
  });

  test('traffic that dies away stops paying', () => {
    const traffic = steady(0).map(({ date }, i) => ({ date, requests: Math.round(10_000 * 0.8 ** i) }));
    expect(breakEven({ traffic, ...plain })).toMatchObject({ date: null, latest: null });
  });

  test('steady traffic comes back when the arithmetic says', () => {
    // 1,000 requests a day save 5.00 - 1.00; 40 are open: ten days after the last
    const found = breakEven({ traffic: steady(1000), ...plain });
    expect(found.date).toBe(dayAt(29 + 10));
    expect(found.growth).toBeCloseTo(0, 9);
    expect(found.earliest! <= found.date! && found.date! <= found.latest!).toBe(true);
    expect(found.likely).toBe(1);
  });

  test('a machine that costs more than is saved never pays, unless the traffic grows', () => {
    const dear = { ...plain, spentUsd: 10, teacherUsdPerRequest: 0.001, machineUsdPerDay: 2 };
    expect(breakEven({ traffic: steady(1000), ...dear })).toMatchObject({ date: null, latest: null });
    const growing = steady(1).map(({ date }, i) => ({ date, requests: Math.round(1000 * 1.05 ** i) }));
    const found = breakEven({ traffic: growing, ...dear });
    expect(found.date).not.toBeNull();
    expect(found.growth).toBeCloseTo(1.05 ** 30 - 1, 1);
  });

  test('the interval holds the truth about as often as it says', () => {
    const random = new Random(5);
    const [level, slope, spentUsd] = [Math.log(2000), 0.01, 900];
    const end = 27;
    let open = spentUsd;
    let truth = 0;
    while (open > 0) open -= Math.exp(level + 0.3 ** 2 / 2 + slope * (end + ++truth)) * 0.01 - 1;
    let held = 0;
    for (let run = 0; run < 60; run++) {
      const traffic = Array.from({ length: end + 1 }, (_, i) => ({
        date: dayAt(i),
        requests: Math.round(Math.exp(level + slope * i + 0.3 * random.normal())),
      }));
      const { earliest, latest } = breakEven({ ...plain, traffic, spentUsd, teacherUsdPerRequest: 0.01 }, run);
      const date = dayAt(end + truth);
      if (earliest! <= date && (latest === null || date <= latest)) held++;
    }
    expect(held / 60).toBeGreaterThan(0.88);
  });

  test('a few days are no trend', () => {
    const input = { ...plain, traffic: steady(5, 6) };
    expect(() => breakEven(input)).toThrow(/seven days/);
  });
});

test.each([
  ['a comma within a number', '2026-01-01,5\n2026-01-02,"1,200"', 2],
  ['thousands without quotes', '2026-01-01,5\n2026-01-02,1,200', 2],
  ['no day of the calendar', '2026-01-01,5\n2026-02-30,5', 2],
  ['no number', 'date,requests\n2026-01-01,many', 2],
  ['a negative number', '2026-01-01,-5', 1],
  ['a line without a date', '{"created": 1767225600}\n{"model": "gpt-4o"}', 2],
])('traffic: %s is refused with its line', (_, text, line) => {
  const file = join(root, 'bad-traffic');
  writeFileSync(file, text);
  expect(() => readTraffic(file)).toThrow(expect.objectContaining({ place: { file, line, field: '--traffic' } }));
});

test('traffic by day from CSV and from JSON lines; days without any count', () => {
  const csv = join(root, 'traffic.csv');
  writeFileSync(csv, 'date,requests\r\n2026-01-01,5\r\n2026-01-03,7\r\n');
  expect(readTraffic(csv)).toEqual([
    { date: '2026-01-01', requests: 5 },
    { date: '2026-01-02', requests: 0 },
    { date: '2026-01-03', requests: 7 },
  ]);
  const jsonl = join(root, 'traffic.jsonl');
  const rows = [{ created: 1767225600 }, { created_at: '2026-01-01T23:00:00Z' }, { at: 1767312000000 }];
  writeFileSync(jsonl, rows.map((row) => JSON.stringify(row)).join('\n'));
  expect(readTraffic(jsonl).map(({ requests }) => requests)).toEqual([2, 1]);
  writeFileSync(jsonl, '{}\n');
  expect(() => readTraffic(jsonl)).toThrow(/no dated traffic/);
  expect(() => readTraffic(join(root, 'nowhere'))).toThrow(/cannot be read/);
});

test('the plane draws every point with its interval, and none without a known cost', () => {
  const point = { name: 'q8_0', tone: 'a' as const, usdPer1k: 0.01, quality: 0.9, lower: 0.85, upper: 0.94 };
  const { text } = planeChart([point, { ...point, name: 'gpt-4o', tone: 'b', usdPer1k: 2 }, { ...point, usdPer1k: 0 }]);
  expect(text.match(/<circle/g)).toHaveLength(2);
  expect(text).toContain('gpt-4o');
  expect(text).not.toMatch(/NaN|Infinity/);
  expect(planeChart([{ ...point, usdPer1k: 0 }]).text).toBe('');
});
