// Scorers chosen by name, against the Python packages that define them, and patterns that no text can make slow.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { chrfScore } from './chrf.ts';
import { lastNumber } from './numeric.ts';
import { SafePattern } from './pattern.ts';
import { type ScorerName, scorers } from './registry.ts';
import { rougeLScore } from './rouge.ts';
import type { ScorerOptions } from './scorer.ts';

interface Row {
  prediction: string;
  expected: string;
  score: number;
}
const oracle: { rouge: Row[]; chrf: Row[] } = JSON.parse(
  readFileSync(new URL('../../../test/reference/text_scores.json', import.meta.url), 'utf8'),
);

const score = (name: ScorerName, prediction: string, expected: string, options: Partial<ScorerOptions> = {}) =>
  scorers[name].prepare([expected], { requireAllFields: false, ...options })(prediction, expected).score;

test.each(oracle.rouge)('ROUGE-L as rouge_score: $prediction', ({ prediction, expected, score: wanted }) =>
  expect(rougeLScore(prediction, expected)).toBeCloseTo(wanted, 12),
);

test.each(oracle.chrf)('chrF as sacreBLEU: $prediction', ({ prediction, expected, score: wanted }) =>
  expect(chrfScore(prediction, expected)).toBeCloseTo(wanted, 10),
);

test('ROUGE-L of Chinese goes by characters', () => {
  // 订单发货 of 5 and 8 characters
  expect(score('rouge-l', '订单已发货', '您的订单已经发货')).toBeCloseTo((2 * 5) / (5 + 8), 12);
});

test('normalised: articles, punctuation and spacing do not count, in English and Chinese', () => {
  expect(score('normalised', 'The  Order, (shipped)!', 'order shipped')).toBe(1);
  expect(score('normalised', '订单 已发货。', '订单已发货')).toBe(1);
  expect(score('normalised', 'ＡＢ１２', 'ab12')).toBe(1);
  expect(score('normalised', 'another order', 'other order')).toBe(0);
  // a letter with an accent is a letter: its neighbour is no article
  expect(score('normalised', 'España', 'Españ')).toBe(0);
  expect(score('normalised', '👍', '👎')).toBe(0);
  expect(score('normalised', 'A', 'the')).toBe(0);
});

test('f1 over labels, however they are listed', () => {
  expect(score('f1', 'refund, late', 'late; refund')).toBe(1);
  expect(score('f1', '["refund"]', 'refund、late')).toBeCloseTo(2 / 3, 12);
  expect(score('f1', '- a\n- b\n- c', 'a，d')).toBeCloseTo(2 / 5, 12);
  expect(score('f1', '- a\n- b', 'b, a')).toBe(1);
  expect(score('f1', '[]', '')).toBe(1);
  expect(score('f1', 'a', '')).toBe(0);
});

test('numbers with a tolerance', () => {
  expect(lastNumber('from 3 to −1,234.50 USD')).toBe(-1234.5);
  expect(lastNumber('１２％ of it')).toBe(12);
  expect(lastNumber('none')).toBeUndefined();
  expect(lastNumber('about -.5')).toBe(-0.5);
  expect(score('numeric', '1.05', '1', { tolerance: { absolute: 0, relative: 0.05 } })).toBe(1);
  expect(score('numeric', '1.0501', '1', { tolerance: { absolute: 0, relative: 0.05 } })).toBe(0);
  expect(score('numeric', 'so it is 99.', '100')).toBe(0);
  expect(score('numeric', 'so it is 99.', '100', { tolerance: { absolute: 0, relative: 0.02 } })).toBe(1);
  expect(score('numeric', 'no idea', '100', { tolerance: { absolute: 1e9, relative: 0 } })).toBe(0);
});

test('JSON that breaks the schema scores nothing', () => {
  const schema = {
    type: 'object',
    properties: { a: { type: 'integer' } },
    required: ['a'],
    additionalProperties: false,
  };
  expect(score('json', '{"a": 1}', '{"a": 1}', { schema })).toBe(1);
  expect(score('json', '{"a": 1, "b": 2}', '{"a": 1}', { schema })).toBe(0);
  expect(score('json', '{"a": 1, "b": 2}', '{"a": 1}')).toBe(0.5);
  // what is required need not be described, and a schema need not say "object"
  expect(score('json', '{"a": 1}', '{"a": 1}', { schema: { type: 'object', required: ['a', 'b'] } })).toBe(0);
  expect(score('json', '{"a": 1}', '{"a": 1}', { schema: { properties: { a: { type: 'string' } } } })).toBe(0);
  const draft7 = { $schema: 'http://json-schema.org/draft-07/schema#', items: [{ const: 1 }], additionalItems: false };
  expect(score('json', '[1]', '[1]', { schema: draft7 })).toBe(1);
  expect(score('json', '[1, 2]', '[1, 2]', { schema: draft7 })).toBe(0);
});

describe('patterns', () => {
  const texts = ['', 'a', 'ab', 'aab', 'abc 12', 'xyz\nabc', '订单42', 'a-b]', 'foo.bar', '(1)', 'aaaa'];
  const patterns = [
    'a', '^a', 'b$', 'a*b', '^a+b?$', 'a|xyz', '(?:ab|a)c', '(ab)+', '[a-c]{2,3}', '[^a-z]', '\\d+', '^\\w+$', '\\s', '.', '^$',
    '订单\\d{2}', 'a{2}', 'a{3,}', '^(a|aa)+$', '\\.', '\\(\\d\\)', '[a\\]-]+', '[]x]', '(|a)b', 'x*?a', '^(?:[a-z]+\\s)*\\d+$', '\\bfoo\\b', '\\Bb', '\\b$',
  ]; // biome-ignore format: one list

  test.each(patterns)('%s matches what JavaScript matches', (pattern) => {
    // JavaScript reads an empty class where POSIX and this read a literal bracket
    const theirs = new RegExp(pattern.replace('[]x]', '[\\]x]'), 'u');
    const ours = new SafePattern(pattern);
    expect(texts.map((text) => ours.test(text))).toEqual(texts.map((text) => theirs.test(text)));
  });

  test('one that would take a backtracking engine for ever is done in linear time', () => {
    expect(score('regex', `${'a'.repeat(20_000)}!`, '^(a+)+$')).toBe(0);
    expect(score('regex', `${'a'.repeat(20_000)}`, '^(a+)+$')).toBe(1);
    expect(score('regex', ' Order WX-12345 ', '^Order WX-\\d{5}$')).toBe(1);
  });

  test('in any case', () => {
    const pattern = new SafePattern('(?i)^order [a-c]\\d$');
    expect(['ORDER B7', 'order c1', 'Order D1'].map((text) => pattern.test(text))).toEqual([true, true, false]);
  });

  test.each(['(?=a)', '(?<n>a)', '\\1', 'a{2000}', '(a', '[a', 'a)', '*a', 'a\\', '((a{900}){900})', '[z-a]'])(
    '%s is refused',
    (pattern) => expect(() => new SafePattern(pattern)).toThrow(/safe to run/),
  );

  test('groups nested without end are refused', () =>
    expect(() => new SafePattern(`${'('.repeat(1e5)}a${')'.repeat(1e5)}`)).toThrow(/nested too deeply/));
});

test.each([
  ['f1', '[{"a":1}]', '[{"a":2}]', 0],
  ['f1', '[{"b":2,"a":1}]', '[{"a":1,"b":2}]', 1],
  ['json', '{"a.b":1}', '{"a":{"b":1}}', 0],
  ['json', '{"b":{}}', '{"a":{}}', 0],
  ['json', '{"a":{},"b":1}', '{"a":{},"b":1}', 1],
  ['json', '{}', '{}', 1],
  ['regex', 'A', '(?i)^[^a]$', 0],
  ['regex', 'B', '(?i)^[^a]$', 1],
  ['numeric', 'a loss of -$5', '-5', 1],
  ['numeric', 'US$1,234.50', '1234.5', 1],
  ['numeric', '￥80', '80', 1],
])('%s: %s for %s scores %d', (name, prediction, expected, wanted) => {
  expect(score(name as 'f1', prediction, expected)).toBe(wanted);
});

test('a pattern that cannot be run is found before anything is asked', () => {
  expect(() => scorers.regex.prepare(['ok', '(a'], { requireAllFields: false })).toThrow(
    /the right answer "\(a" is not a pattern/,
  );
});
