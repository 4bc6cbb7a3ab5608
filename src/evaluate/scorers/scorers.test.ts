// Scorers as tables: what counts as the same answer, in English and Chinese, and which scorer suits which answers.
import { describe, expect, test } from 'vitest';
import { exact } from './exact.ts';
import { json } from './json.ts';
import { label, labelFinder, NO_LABEL } from './label.ts';
import { chooseScorer } from './registry.ts';
import { normalise } from './scorer.ts';

const options = { requireAllFields: false };

test.each([
  ['Refund Status.', 'refund status', true],
  ['  refund\n status ', 'refund status', true],
  ['“refund status”', 'refund status', true],
  ['ＡＢＣ１２', 'abc12', true],
  ['退款。', '退款', true],
  ['退 款！', '退款', true],
  ['refund-status', 'refund status', false],
  ['refundstatus', 'refund status', false],
  ['退货', '退款', false],
  ['C', 'B', false],
  ['...', '...', true],
  ['?', '!', false],
  ['', 'x', false],
  ['3.5', '35', false],
])('exact: %j and %j are the same: %s', (prediction, expected, same) => {
  expect(exact.prepare([], options)(prediction, expected).score).toBe(same ? 1 : 0);
});

test('normalise keeps spaces between Latin words and drops those between Chinese characters', () => {
  expect(normalise('Guangzhou 广 州 city。')).toBe('guangzhou 广州 city');
});

describe('json', () => {
  const expected = '{"intent":"refund","urgency":"high","order_id":null}';
  const wrong = { intent: 1, urgency: 0, order_id: 1 };
  test.each<[string, string, number, Record<string, number>?]>([
    ['the same in another order', '{"order_id":null,"urgency":"high","intent":"Refund"}', 1],
    ['one of three wrong', '{"intent":"refund","urgency":"low","order_id":null}', 2 / 3, wrong],
    ['a field missing', '{"intent":"refund","urgency":"high"}', 2 / 3],
    ['a field too many', '{"intent":"refund","urgency":"high","order_id":null,"x":1}', 3 / 4],
    ['null is not the empty string', '{"intent":"refund","urgency":"high","order_id":""}', 2 / 3],
    ['in a code fence', `Sure:\n\`\`\`json\n${expected}\n\`\`\``, 1],
    ['in a tool call', `<tool_call>${expected}</tool_call>`, 1],
    ['after a bracket that is none', `as in [1: ${expected}`, 1],
    ['cut off', '{"intent":"refund","urgen', 0],
    ['no JSON', 'refund', 0],
    ['a list instead', '["refund"]', 0],
    ['empty', '', 0],
  ])('%s', (_name, prediction, score, fields) => {
    const result = json.prepare([expected], options)(prediction, expected);
    expect(result.score).toBeCloseTo(score, 12);
    if (fields) expect(result.fields).toEqual(fields);
  });

  test('nested fields count one by one; lists count as a whole, in order', () => {
    const score = json.prepare([], options);
    expect(score('{"a":{"x":1,"y":2},"l":[1,2]}', '{"a":{"x":1,"y":3},"l":[1,2]}').score).toBeCloseTo(2 / 3, 12);
    expect(score('{"l":[2,1]}', '{"l":[1,2]}').score).toBe(0);
    expect(score('{"n":1.0}', '{"n":1}').score).toBe(1);
    expect(score('{"n":"1"}', '{"n":1}').score).toBe(0);
    expect(score('{"s":"a } \\" {"}', '{"s":"a } \\" {"}').score).toBe(1);
  });

  test('with all fields required, a part is nothing', () => {
    const score = json.prepare([], { requireAllFields: true });
    expect(score('{"a":1,"b":2}', '{"a":1,"b":3}')).toEqual({ score: 0, fields: { a: 1, b: 0 } });
    expect(score('{"b":3,"a":1}', '{"a":1,"b":3}').score).toBe(1);
  });
});

describe('label', () => {
  const intents = ['card lost', 'card', 'refund_status', 'refund'];
  test.each([
    ['Card lost.', 'card lost'],
    ['The answer is: card lost', 'card lost'],
    ['card', 'card'],
    ['discard it', NO_LABEL],
    ['refund_status', 'refund_status'],
    ['refund or card', NO_LABEL],
    ['I do not know', NO_LABEL],
    ['', NO_LABEL],
  ])('English: %j is %j', (answer, want) => expect(labelFinder(intents)(answer)).toBe(want));

  const choices = ['正确答案:A。', '正确答案:B。', '正确答案:C。', '正确答案:D。'];
  test.each([
    ['[正确答案]C<eoa>', 'c'],
    ['【正确答案】 C <eoa>', 'c'],
    ['正确答案：C', 'c'],
    ['C', 'c'],
    ['选 C，因为 B 不对', NO_LABEL],
    ['[正确答案]B,C,D<eoa>', NO_LABEL],
    ['我认为选C。', 'c'],
    ['ABC', NO_LABEL],
  ])('choices: %j is %j', (answer, want) => expect(labelFinder(choices)(answer)).toBe(want));

  test.each([
    ['[类别]劳动纠纷<eoa>', '劳动纠纷'],
    ['这属于劳动纠纷', '劳动纠纷'],
    ['公司法和侵权', NO_LABEL],
  ])('Chinese: %j is %j', (answer, want) => {
    expect(labelFinder(['劳动纠纷', '公司法', '侵权'])(answer)).toBe(want);
  });

  test('two ways of writing the same choices are one set of labels', () => {
    const find = labelFinder([...choices, '[正确答案]A<eoa>', '[正确答案]B<eoa>', '劳动纠纷', '侵权']);
    expect(['正确答案:B。', '[正确答案]B<eoa>', 'B', '[类别]侵权<eoa>', '正确答案:E'].map(find)).toEqual([
      'b',
      'b',
      'b',
      '侵权',
      NO_LABEL,
    ]);
  });

  test('an expected answer that names two labels is compared as it is', () => {
    const score = label.prepare(['a', 'b', 'a', 'b'], options);
    expect(score('a and b', 'A and B').score).toBe(1);
    expect(score('a', 'a and b').score).toBe(0);
  });
});

test('the scorer is chosen from the answers', () => {
  const times = <T>(n: number, ...items: T[]) => Array.from({ length: n }, () => items).flat();
  expect(chooseScorer('auto', times(10, '{"a":1}', '{"a":2}'))).toBe('json');
  expect(chooseScorer('auto', times(10, 'yes', 'no', '不'))).toBe('label');
  expect(
    chooseScorer(
      'auto',
      Array.from({ length: 50 }, (_, i) => `a free answer number ${i}`),
    ),
  ).toBe('exact');
  expect(chooseScorer('auto', ['yes', 'no'])).toBe('exact');
  expect(chooseScorer('auto', [])).toBe('exact');
  expect(chooseScorer('exact', ['{}'])).toBe('exact');
  expect(() => chooseScorer('constructor', ['{}'])).toThrow(/no scorer "constructor"/);
});
