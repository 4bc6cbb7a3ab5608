// Parts of the proxy on their own: events cut anywhere, streams put together again, usage in several dialects, prices.
import { expect, test } from 'vitest';
import { events, USAGE } from '../../../test/mock-upstream.ts';
import { priceFrom } from '../price.ts';
import { Reassembly } from './reassemble.ts';
import { DoneDetector, SseReader } from './sse.ts';
import { Upstream } from './upstream.ts';
import { tokensOf } from './usage.ts';

const parts = events('chatcmpl-1', ['你好', ' world', '\u{1F600}']);
const bytes = Buffer.from(parts.join(''));

function reassemble(chunks: Buffer[]): Reassembly {
  const whole = new Reassembly();
  const reader = new SseReader((data) => whole.add(data));
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return whole;
}

test('a stream cut at any two bytes gives the same completion, and its end mark is seen in the chunk that completes it', () => {
  const expected = reassemble([bytes]).result;
  expect(expected).toMatchObject({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    choices: [{ message: { role: 'assistant', content: '你好 world\u{1F600}' }, finish_reason: 'stop' }],
    usage: USAGE,
  });
  const end = bytes.indexOf('[DONE]') + '[DONE]'.length;
  for (let at = 1; at < bytes.length; at++) {
    const cut = [bytes.subarray(0, at), bytes.subarray(at)];
    const whole = reassemble(cut);
    expect(whole.result).toEqual(expected);
    expect(whole.ended).toBe(true);
    const mark = new DoneDetector();
    expect(cut.map((chunk) => mark.push(chunk))).toEqual(at >= end ? [true, false] : [false, true]);
    const reader = new SseReader(() => {});
    reader.push(cut[0]);
    expect(reader.done).toBe(at > end);
  }
});

test('tool calls, logprobs and several choices are merged by their index', () => {
  const chunk = (choices: object[]) =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices })}\n\n`;
  const call = (index: number, more: object) => ({ delta: { tool_calls: [{ index, ...more }] } });
  const text = [
    chunk([
      { index: 1, delta: { role: 'assistant', content: 'b' }, logprobs: { content: [{ token: 'b', logprob: -1 }] } },
    ]),
    chunk([{ index: 0, delta: { role: 'assistant', content: null } }]),
    chunk([{ index: 0, ...call(1, { id: 'call_b', type: 'function', function: { name: 'g', arguments: '' } }) }]),
    chunk([{ index: 0, ...call(0, { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"x"' } }) }]),
    chunk([{ index: 0, ...call(0, { function: { arguments: ':1}' } }) }]),
    chunk([{ index: 1, delta: { content: 'c' }, logprobs: { content: [{ token: 'c', logprob: -2 }] } }]),
    chunk([{ index: 0, delta: {}, finish_reason: 'tool_calls' }]),
    chunk([{ index: 1, delta: {}, finish_reason: 'stop' }]),
    'data: [DONE]\r\n\r\n',
  ].join('');
  const { choices } = reassemble([Buffer.from(text)]).result as { choices: { message: object }[] };
  expect(choices[0]).toMatchObject({
    finish_reason: 'tool_calls',
    message: {
      content: null,
      tool_calls: [
        { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
        { id: 'call_b', type: 'function', function: { name: 'g', arguments: '' } },
      ],
    },
  });
  expect(choices[0].message).not.toHaveProperty('tool_calls[0].index');
  expect(choices[1]).toMatchObject({
    message: { content: 'bc' },
    logprobs: { content: [{ token: 'b' }, { token: 'c' }] },
  });
});

test('a stream of which only the text changes is read the same as one whose events all differ', () => {
  const words = ['Hel', 'lo "you"', '\\ back\n', '', '你', '\u{1F600}', '","finish_reason":"x', 'data: [DONE]', ' end'];
  const chunk = (delta: object, more: object = {}, finish: string | null = null) => ({
    id: 'c',
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...more,
  });
  const all = [
    chunk({ role: 'assistant', content: '' }),
    ...words.map((reasoning_content) => chunk({ content: null, reasoning_content })),
    ...words.map((content) => chunk({ content })),
    chunk({ content: 'odd' }, { usage: USAGE }),
    ...words.map((content) => chunk({ content })),
    chunk({}, {}, 'stop'),
  ];
  const read = (events: object[]) => {
    const whole = new Reassembly();
    for (const event of events) whole.add(JSON.stringify(event));
    return whole.result;
  };
  const plain = read(all);
  // a field that is never the same keeps each event from being recognised
  const odd = read(all.map((event, i) => ({ ...event, choices: event.choices.map((one) => ({ ...one, x: i })) })));
  expect(plain).toMatchObject({
    choices: [{ message: { content: `${words.join('')}odd${words.join('')}`, reasoning_content: words.join('') } }],
    usage: USAGE,
  });
  const { choices } = odd as { choices: { message: object }[] };
  expect((plain as typeof odd & { choices: object[] }).choices[0]).toMatchObject({ message: choices[0].message });
});

test('it is told when the answer itself begins, and when the stream says that it failed', () => {
  const whole = new Reassembly();
  const chunk = (delta: object) => JSON.stringify({ id: 'c', choices: [{ index: 0, delta, finish_reason: null }] });
  whole.add(chunk({ role: 'assistant', content: '' }));
  expect(whole.begun).toBe(false);
  whole.add(chunk({ content: 'a' }));
  expect([whole.begun, whole.failed]).toEqual([true, false]);
  whole.add('{"error":{"message":"out of memory"}}');
  for (const nonsense of ['null', '7', '{"choices":[null]}']) whole.add(nonsense);
  expect(whole.failed).toBe(true);
  expect(whole.result).toMatchObject({ choices: [{ message: { content: 'a' } }], error: { message: 'out of memory' } });
});

test('events of other APIs are kept; the responses API ends with its whole response', () => {
  const response = { id: 'resp_1', output: [{ type: 'message' }], usage: { input_tokens: 3, output_tokens: 4 } };
  const text = `event: response.created\ndata: {"type":"a"}\n\nevent: response.completed\ndata: ${JSON.stringify({ type: 'b', response })}\n\n`;
  const { result } = reassemble([Buffer.from(text)]);
  expect(result).toEqual(response);
  expect(tokensOf(result)).toMatchObject({ prompt_tokens: 3, completion_tokens: 4, cached_tokens: null });
  expect(reassemble([Buffer.from(': ping\n\ndata: not json\n\n')]).result).toEqual({ events: ['not json'] });
  expect(reassemble([]).result).toBeNull();
});

test('pieces of a text in events of other APIs are put together, part by part', () => {
  const piece = (delta: unknown, more: object = {}) => ({
    type: 'response.output_text.delta',
    item_id: 'm',
    content_index: 0,
    delta,
    ...more,
  });
  const block = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta });
  const sent = [
    piece('Ring 138', { sequence_number: 4 }),
    block(0, { type: 'text_delta', text: 'or ' }),
    piece('other', { content_index: 1 }),
    piece('0013', { sequence_number: 5 }),
    block(0, { type: 'text_delta', text: 'write' }),
    piece('8000'),
    block(1, { type: 'input_json_delta', partial_json: '{}' }),
  ];
  const { result } = reassemble([Buffer.from(sent.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''))]);
  expect(result).toEqual({
    events: [
      piece('Ring 13800138000', { sequence_number: 4 }),
      block(0, { type: 'text_delta', text: 'or write' }),
      piece('other', { content_index: 1 }),
      block(1, { type: 'input_json_delta', partial_json: '{}' }),
    ],
  });
});

test('usage is read in the dialects of OpenAI and DeepSeek, and nonsense is not believed', () => {
  expect(tokensOf({ usage: USAGE })).toEqual({
    prompt_tokens: 20,
    cached_tokens: 8,
    completion_tokens: 5,
    reasoning_tokens: 2,
  });
  expect(tokensOf({ usage: { prompt_tokens: 9, completion_tokens: 1, prompt_cache_hit_tokens: 4 } })).toMatchObject({
    cached_tokens: 4,
  });
  const none = { prompt_tokens: null, cached_tokens: null, completion_tokens: null, reasoning_tokens: null };
  for (const wrong of [null, 'x', {}, { usage: { prompt_tokens: -1, completion_tokens: '5' } }])
    expect(tokensOf(wrong)).toEqual(none);
});

test('prices: the longest name wins, cached tokens cost less, and the unknown has no price', () => {
  const price = priceFrom({
    'gpt-4o*': { input: 2.5, output: 10, cached: 1.25 },
    'gpt-4o-mini*': { input: 0.15, output: 0.6 },
  });
  const tokens = {
    prompt_tokens: 1_000_000,
    cached_tokens: 400_000,
    completion_tokens: 100_000,
    reasoning_tokens: null,
  };
  expect(price('gpt-4o-2024-08-06', tokens)).toBeCloseTo(0.6 * 2.5 + 0.4 * 1.25 + 1);
  expect(price('gpt-4o-mini', tokens)).toBeCloseTo(0.15 + 0.06);
  expect(price('other', tokens)).toBeNull();
  expect(price('gpt-4o', { ...tokens, completion_tokens: null })).toBeNull();
});

test('an upstream keeps its query, sends its own key as its vendor wants it, and rests after failing again and again', () => {
  const azure = new Upstream({
    url: 'https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21',
    key: 'k',
  });
  expect(azure.path('chat/completions', '?a=1')).toBe(
    '/openai/deployments/d/chat/completions?api-version=2024-10-21&a=1',
  );
  // Azure's own client names the version itself
  expect(azure.path('chat/completions', '?api-version=2025-01-01-preview')).toBe(
    '/openai/deployments/d/chat/completions?api-version=2025-01-01-preview',
  );
  expect(azure.authorization({ authorization: 'Bearer caller' })).toEqual({ 'api-key': 'k' });
  const behind = new Upstream({ url: 'http://127.0.0.1:8000/v1', key: 'k', header: 'Api-Key' });
  expect(behind.authorization({})).toEqual({ 'api-key': 'k' });
  const local = new Upstream({ url: 'http://127.0.0.1:8000/v1/' });
  expect(local.path('models', '')).toBe('/v1/models');
  expect(local.authorization({ authorization: 'Bearer caller' })).toEqual({ authorization: 'Bearer caller' });
  for (let i = 0; i < 5; i++) local.failed();
  expect(local.resting).toBe(true);
  local.answered();
  expect(local.resting).toBe(false);
  expect(() => new Upstream({ url: 'ftp://x' })).toThrow(/not an http/);
});
