// The report: the ledger's arithmetic, the verdict's conditions, prices, and a page that hostile text cannot break.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Artifact } from '../artifacts/store.ts';
import { toJsonl } from '../base/jsonl.ts';
import type { Evaluated } from './evaluated.ts';
import { escapeText, html } from './html/markup.ts';
import { makeLedger, servingPer1k, tokensUsd } from './ledger.ts';
import { machinePrice, parseTeacherPrice, priceOf } from './prices.ts';
import { type ReportOptions, report } from './report.ts';
import { decide } from './verdict.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-report-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Part =
  | 'teacher'
  | 'speed'
  | 'student'
  | 'fields'
  | 'confusions'
  | 'slices'
  | 'notes'
  | 'scorerDescription'
  | 'contamination';
type Changes = { quality?: Partial<Evaluated['quality']> } & { [P in Part]?: Evaluated[P] };

function evaluated(changes: Changes = {}): Evaluated {
  const { quality, ...rest } = changes;
  const interval = { lower: 0.9, upper: 1 };
  return {
    scorer: 'label',
    scorerDescription: 'the right one of a closed set of answers',
    basis: 'reference',
    quality: {
      student: 0.95,
      teacher: 0.96,
      ratio: 0.99,
      lower95: 0.96,
      n: 400,
      studentInterval: interval,
      teacherInterval: interval,
      needed: 200,
      ...quality,
    },
    speed: {
      concurrency: 8,
      busySeconds: 40,
      requestsPerSecond: 10,
      outputTokensPerSecond: 90,
      secondsP50: 1,
      secondsP95: 2,
    },
    student: { name: 'student.gguf', requests: 400, failed: 0 },
    teacher: [
      {
        model: 'gpt-4o',
        requests: 300,
        promptTokens: 60_000,
        cachedTokens: 20_000,
        completionTokens: 9000,
        estimated: false,
      },
      {
        model: 'gpt-4o-mini',
        requests: 100,
        promptTokens: 20_000,
        cachedTokens: 0,
        completionTokens: 3000,
        estimated: false,
      },
    ],
    fields: {},
    confusions: [],
    slices: [],
    contamination: { nearDuplicates: 0, passages: 0 },
    looks: 1,
    testHash: 'abc',
    notes: [],
    ...rest,
  };
}

function artifact(stage: string, seconds: number, facts: object = {}, files: Record<string, string> = {}): Artifact {
  const path = mkdtempSync(join(root, `${stage}-`));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  const machine = { cpu: 'a processor', cores: 2, memoryBytes: 2 ** 34, platform: 'linux-x64', node: 'v20' };
  const manifest: Artifact['manifest'] = {
    format: 1,
    stage,
    key: stage.repeat(8),
    stageVersion: 1,
    cupel: '0',
    inputs: { dataset: 'sha256:0123456789abcdef0123' },
    options: {},
    startedAt: '2026-01-01T00:00:00.000Z',
    seconds,
    machine,
    files: Object.fromEntries(Object.keys(files).map((name) => [name, { bytes: 1, sha256: '' }])),
    facts: { ...facts },
  };
  return { path, manifest };
}

const chain = () => [artifact('import', 36), artifact('distill', 3600), artifact('evaluate', 72, evaluated())];

describe('the ledger', () => {
  test('all of the recorded traffic is priced, cached tokens at their own price, and none of it is spent again', () => {
    const taught = [
      { ...evaluated().teacher[0], requests: 900, promptTokens: 1e6, cachedTokens: 400_000, completionTokens: 0 },
    ];
    const ledger = makeLedger(chain(), { ...evaluated(), taught }, { machineHour: 0.5 });
    const test = ledger.teacher.models.reduce((sum, { usd }) => sum + usd, 0);
    expect(ledger.traffic!.requests).toBe(1300);
    expect(ledger.traffic!.usd).toBeCloseTo(0.6 * 2.5 + 0.4 * 1.25 + test, 12);
    expect(ledger.spentUsd).toBe(makeLedger(chain(), evaluated(), { machineHour: 0.5 }).spentUsd);
  });

  test('a machine for nothing, or as fast as somebody says, proves nothing', () => {
    const machine = { usdPerHour: 0.01, from: 'x', isDefault: false, speed: 1 };
    const why = (choice: typeof machine) =>
      decide(evaluated(), makeLedger(chain(), evaluated(), { machine: choice })).reasons;
    expect(why({ ...machine, usdPerHour: 0 }).join()).toMatch(/no price/);
    expect(why({ ...machine, speed: 100 }).join()).toMatch(/stated, not measured/);
    expect(why(machine).join()).not.toMatch(/no price|stated/);
  });

  test('what 1,000 right answers cost, energy at the power stated, and another machine only for serving', () => {
    const usual = makeLedger(chain(), evaluated(), { machineHour: 0.5, watts: 100 });
    expect(usual.student.usdPer1kCorrect).toBeCloseTo(usual.student.usdPer1k / 0.95, 12);
    expect(usual.teacher.usdPer1kCorrect).toBeCloseTo(usual.teacher.usdPer1k / 0.96, 12);
    expect(usual.energy).toEqual({
      source: 'stated',
      watts: 100,
      spentKwh: (100 * 3708) / 3.6e6,
      kwhPer1k: (100 * 100) / 3.6e6,
    });
    const machine = { usdPerHour: 2, from: 'gpu', isDefault: false, speed: 4 };
    const tokens = { requests: 8, promptTokens: 1_000_000, cachedTokens: 0, completionTokens: 0 };
    const byJudge = makeLedger(chain(), { ...evaluated(), judge: { name: 'gpt-4o', tokens } }, { machineHour: 0.5 });
    expect(byJudge.spent.at(-1)).toMatchObject({ stage: 'judge (gpt-4o)', usd: 2.5 });
    expect(byJudge.spentUsd).toBeCloseTo(usual.spentUsd + 2.5, 10);
    const other = makeLedger(chain(), evaluated(), { machineHour: 0.5, machine });
    expect(other.spentUsd).toBe(usual.spentUsd);
    expect(other.student).toMatchObject({ requestsPerSecond: 40 });
    expect(other.student.usdPer1k).toBeCloseTo(usual.student.usdPer1k, 12);
  });

  test('what a student costs with its teacher behind it is a line of its own', () => {
    const point = { local: 0.9, quality: 0.955, n: 400 };
    const alone = makeLedger(chain(), evaluated(), { machineHour: 0.5 });
    const { cascade } = makeLedger(chain(), { ...evaluated(), cascade: { point } }, { machineHour: 0.5 });
    const teacherUsdPer1k = 0.1 * alone.teacher.usdPer1k;
    expect(alone.cascade).toBeNull();
    expect(alone.traffic).toBeNull();
    expect(cascade).toMatchObject({ local: 0.9 });
    expect(cascade!.teacherUsdPer1k).toBeCloseTo(teacherUsdPer1k, 12);
    expect(cascade!.usdPer1k).toBeCloseTo(alone.student.usdPer1k + teacherUsdPer1k, 12);
    expect(cascade!.share).toBeCloseTo(alone.share + 0.1, 12);
    const never = { ...evaluated(), cascade: { point: { ...point, local: 0 } } };
    expect(makeLedger(chain(), never, {}).cascade).toBeNull();
  });

  test('measured energy wins over stated power, unless a stage was not measured or another machine is asked about', () => {
    const measured = chain().map(({ path, manifest }) => ({ path, manifest: { ...manifest, joules: 36_000 } }));
    const requests = evaluated().student.requests;
    expect(makeLedger(measured, evaluated(), { machineHour: 0.5, watts: 100 }).energy).toEqual({
      source: 'measured',
      watts: 500,
      spentKwh: 0.03,
      kwhPer1k: ((36_000 / requests) * 1000) / 3.6e6,
    });
    const machine = { usdPerHour: 2, from: 'gpu', isDefault: false, speed: 4 };
    expect(makeLedger(measured, evaluated(), { machineHour: 0.5, machine }).energy).toBeNull();
    expect(makeLedger([...measured, artifact('compress', 1)], evaluated(), { watts: 9 }).energy?.source).toBe('stated');
  });

  test('cached tokens are part of the prompt and cheaper', () => {
    const tokens = { promptTokens: 1000, cachedTokens: 400, completionTokens: 50 };
    expect(tokensUsd(tokens, { input: 10, cached: 1, output: 100 })).toBeCloseTo(
      (600 * 10 + 400 * 1 + 50 * 100) / 1e6,
      15,
    );
  });

  test('serving: 1,000 requests at 10 a second are 100 seconds of the machine', () => {
    expect(servingPer1k(3.6, 10)).toBeCloseTo(0.1, 12);
  });

  test('adds up what the manifests say', () => {
    const ledger = makeLedger(chain(), evaluated(), { machineHour: 0.5 });
    // gpt-4o: 40,000 x 2.5 + 20,000 x 1.25 + 9,000 x 10; gpt-4o-mini: 20,000 x 0.15 + 3,000 x 0.6 (per million)
    const teacher = (0.1 + 0.025 + 0.09 + 0.003 + 0.0018) * (1000 / 400);
    expect(ledger.teacher.usdPer1k).toBeCloseTo(teacher, 12);
    expect(ledger.student.usdPer1k).toBeCloseTo((100 / 3600) * 0.5, 12);
    expect(ledger.share).toBeCloseTo(((100 / 3600) * 0.5) / teacher, 12);
    expect(ledger.spent.map((entry) => entry.usd)).toEqual([0.005, 0.5, 0.01]);
    expect(ledger.spentUsd).toBeCloseTo(0.515, 12);
    expect(ledger.alwaysOn.usdPerMonth).toBeCloseTo(365, 9);
    expect(ledger.alwaysOn.requestsForLimit).toBe(Math.ceil(365 / (0.05 * (teacher / 1000))));
    expect(ledger.requestsToRepay).toBe(Math.ceil(0.515 / ((teacher - (100 / 3600) * 0.5) / 1000)));
  });

  test('the machine costs a default for its cores unless a price is given', () => {
    expect(machinePrice(undefined, 2)).toMatchObject({ usdPerHour: 0.1, isDefault: true });
    expect(machinePrice(undefined, 16)).toMatchObject({ usdPerHour: 0.8 });
    expect(machinePrice(1.2, 16)).toMatchObject({ usdPerHour: 1.2, isDefault: false });
  });
});

describe('prices', () => {
  test.each([
    ['gpt-4', 30, 60],
    ['gpt-4-0613', 30, 60],
    ['gpt-4-turbo-2024-04-09', 10, 30],
    ['gpt-4o', 2.5, 10],
    ['openai/GPT-4o-mini', 0.15, 0.6],
    ['gpt-4.1-mini', 0.4, 1.6],
    ['gpt-5-mini-2025-08-07', 0.25, 2],
    ['claude', 1, 5],
    ['claude-opus-4-5-20251101', 5, 25],
    ['claude-sonnet-4-5-20250929', 3, 15],
    ['claude-3-5-haiku-20241022', 0.8, 4],
    ['deepseek-chat', 0.28, 0.42],
  ])('%s costs %d and %d', (model, input, output) => {
    expect(priceOf(model)).toMatchObject({ input, output, assumed: false });
    expect(priceOf(model).asOf).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(priceOf(model).source).toMatch(/^https:/);
  });

  test('an unknown model is priced as gpt-4o, and flagged', () => {
    for (const model of ['unknown', 'gpt-9', 'my-gpt-4o', 'gpt-4o-realtime-preview']) {
      expect(priceOf(model)).toMatchObject({ input: 2.5, output: 10, assumed: true });
    }
  });

  test('--teacher-price', () => {
    expect(parseTeacherPrice('2.5,10')).toEqual({ input: 2.5, output: 10 });
    expect(parseTeacherPrice('2.5, 10, 1')).toEqual({ input: 2.5, output: 10, cached: 1 });
    for (const bad of ['', '3', 'a,b', '1,', '-1,2', '1,2,3,4', '1,Infinity']) {
      expect(() => parseTeacherPrice(bad)).toThrow(/not a price/);
    }
  });
});

describe('the verdict', () => {
  const verdict = (changes: Changes = {}, options: Partial<ReportOptions> = {}) => {
    const facts = evaluated(changes);
    return decide(facts, makeLedger(chain(), facts, { machineHour: 0.1, ...options }));
  };
  const teacher = (model: string): Evaluated['teacher'] => [{ ...evaluated().teacher[0], model }];

  test('is "proven" when quality and cost both are', () => {
    expect(verdict().verdict).toBe('proven');
    expect(verdict({ quality: { lower95: 0.95 } }).verdict).toBe('proven');
  });

  test.each<[string, Changes, Partial<ReportOptions>, RegExp]>([
    [
      'a bound just below the limit',
      { quality: { lower95: 0.9499, needed: 900 } },
      {},
      /at least 94.9%; about 900 items/,
    ],
    [
      'a student that is not good enough',
      { quality: { ratio: 0.9, lower95: 0.85, needed: null } },
      {},
      /train further/,
    ],
    ['58 faultless items', { quality: { n: 58, ratio: 1, lower95: 0.96 } }, {}, /too few held-out items: 58/],
    ['no items', { quality: { n: 0 } }, {}, /no item was scored/],
    ['a teacher that is never right', { quality: { teacher: 0, ratio: 0, lower95: 0 } }, {}, /teacher itself/],
    ['an expensive machine', {}, { machineHour: 5 }, /costs \d+\.\d% of what the teacher costs; the limit is 5.0%/],
    ['a teacher nobody named', { teacher: teacher('unknown') }, {}, /do not name the teacher.*--teacher-model/],
    ['a teacher without a price', { teacher: teacher('gpt-9') }, {}, /no price is known for gpt-9/],
    ['a leak', { contamination: { nearDuplicates: 1, passages: 2 } }, {}, /3 held-out items .* in the training rows/],
    ['no teacher at all', { teacher: [] }, {}, /could not be worked out/],
  ])('is "not proven" with %s', (_name, changes, options, reason) => {
    const { verdict: said, reasons } = verdict(changes, options);
    expect(said).toBe('not proven');
    expect(reasons.join('\n')).toMatch(reason);
  });

  test('a price or a model that is given makes an unknown teacher known', () => {
    expect(verdict({ teacher: teacher('gpt-9') }, { teacherPrice: { input: 2, output: 8 } }).verdict).toBe('proven');
    expect(verdict({ teacher: teacher('unknown') }, { teacherModel: 'gpt-4' }).verdict).toBe('proven');
  });

  test('a speed of nothing proves nothing', () => {
    const speed = { ...evaluated().speed, requestsPerSecond: 0 };
    expect(verdict({ speed }).reasons.join()).toMatch(/could not be worked out/);
  });
});

describe('the page', () => {
  const nasty = `</pre><script>alert(1)</script><img src=x onerror="alert(2)">'"&\u0000`;

  async function made(facts: Evaluated, lines: object[] = []) {
    const folder = mkdtempSync(join(root, 'out-'));
    const curve = toJsonl(
      [1, 2, 3].map((step) => ({ step, loss: 3 / step, validationLoss: step === 3 ? 1.5 : undefined })),
    );
    const artifacts = [
      artifact('import', 1),
      artifact('distill', 60, {}, { 'loss.jsonl': curve }),
      artifact('compress', 5, { file: 'student.q8_0.gguf' }, { 'a.gguf': '', 'student.q8_0.gguf': '' }),
      artifact('evaluate', 30, facts, { 'scores.jsonl': toJsonl(lines) }),
    ];
    const result = await report({ artifacts, folder, options: { machineHour: 0.1 } });
    return { result, page: readFileSync(join(folder, 'report.html'), 'utf8'), folder };
  }

  test('text from customers, models and manifests cannot become markup', async () => {
    const line = {
      id: nasty,
      asked: nasty,
      expected: nasty,
      student: nasty,
      teacher: 'x',
      studentScore: 0,
      teacherScore: 1,
    };
    const facts = evaluated({
      scorerDescription: nasty,
      student: { name: nasty, requests: 1, failed: 0 },
      fields: { [nasty]: 0.5 },
      confusions: [{ expected: nasty, predicted: `${nasty}2`, count: 3 }],
      slices: [{ tag: nasty, value: nasty, n: 9, student: 0.5, teacher: 1 }],
      notes: [nasty],
      teacher: [{ ...evaluated().teacher[0], model: nasty }],
    });
    const { page } = await made(facts, [line]);
    expect(page).not.toMatch(/<script|<img|onerror="/i);
    expect(page.split('&lt;script&gt;').length).toBeGreaterThan(8);
    expect(page).not.toContain('\u0000');
  });

  test('asks nothing of the network and runs no script', async () => {
    const { page } = await made(evaluated());
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/(src|href|action)\s*=|url\(|@import|<(script|link|iframe|object|form)/i);
  });

  test('shows the curve, the quality, the cost and the examples', async () => {
    const line = {
      id: '1',
      asked: 'where is it',
      expected: 'a',
      student: 'b',
      teacher: 'a',
      studentScore: 0,
      teacherScore: 1,
    };
    const { page, result, folder } = await made(evaluated(), [line]);
    expect(page.match(/<svg/g)).toHaveLength(4);
    expect(page).toContain('where is it');
    expect(page).toContain('validation');
    expect(result).toMatchObject({ verdict: 'proven', quality: { n: 400, lower95: 0.96 }, trainingSeconds: 60 });
    expect(result.model).toMatch(/student\.q8_0\.gguf$/);
    expect(JSON.parse(readFileSync(join(folder, 'ledger.json'), 'utf8')).ledger.share).toBe(result.cost?.share);
  });

  test('without an evaluation there is a page and nothing is proven', async () => {
    const folder = mkdtempSync(join(root, 'out-'));
    const result = await report({ artifacts: [artifact('import', 1)], folder });
    expect(result).toMatchObject({ verdict: 'not proven', quality: null, cost: null, model: null });
    expect(existsSync(join(folder, 'report.html'))).toBe(true);
    await expect(report({ artifacts: [], folder })).rejects.toMatchObject({ exitCode: 2 });
  });

  test('facts of another version are an error that names the field', async () => {
    const facts = { ...evaluated(), speed: undefined } as unknown as Evaluated;
    await expect(made(facts)).rejects.toMatchObject({ place: { field: 'facts.speed' } });
  });
});

test('escaping', () => {
  expect(escapeText(`<a b='c' d="e">&\u0007\t\n`)).toBe('&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;\ufffd\t\n');
  expect(html`<b>${'<'}${[html`<i>${1}</i>`, false, undefined, null]}</b>`.text).toBe('<b>&lt;<i>1</i></b>');
});
