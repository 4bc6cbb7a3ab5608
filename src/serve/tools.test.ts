// Function calling over the API, and the reading of calls.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTinyServer, type TinyServer } from '../../test/tiny-server.ts';
import { type CallDelta, CallDeltas } from './http/call-deltas.ts';
import { parseCalls, TextBeforeCalls, type Tool } from './http/tools.ts';

const tools: Tool[] = [
  {
    type: 'function',
    function: {
      name: 'refund',
      parameters: {
        type: 'object',
        $defs: { order: { type: 'string', pattern: '^WX-[0-9]{5}$' } },
        properties: { order: { $ref: '#/$defs/order' }, amount: { type: 'integer', minimum: 1, maximum: 9 } },
        required: ['order', 'amount'],
      },
    },
  },
  { type: 'function', function: { name: 'close', parameters: { type: 'object', additionalProperties: false } } },
];

describe('a demanded call', () => {
  let server: TinyServer;
  beforeAll(async () => {
    server = await startTinyServer({ contextTokens: 2048 });
  });
  afterAll(() => server.close());
  const request = {
    model: 'tiny',
    messages: [{ role: 'user' as const, content: 'money back' }],
    tools: tools as never,
    temperature: 1,
    seed: 4,
    max_tokens: 400,
    tool_choice: { type: 'function' as const, function: { name: 'refund' } },
  };

  it('has the name and arguments that satisfy the schema', async () => {
    const { choices } = await server.client.chat.completions.create(request);
    const { message, finish_reason } = choices[0];
    expect(finish_reason).toBe('tool_calls');
    expect(message.content).toBeNull();
    const [call] = message.tool_calls!;
    expect(call).toMatchObject({ type: 'function', function: { name: 'refund' } });
    const given = JSON.parse((call as { function: { arguments: string } }).function.arguments);
    expect(given.order).toMatch(/^WX-\d{5}$/);
    expect(given.amount).toBeGreaterThanOrEqual(1);
  });

  it('is one, or several where several were asked for', async () => {
    const count = async (more: object) => {
      const counts = Array.from({ length: 12 }, async (_, seed) => {
        const asked = {
          ...request,
          tools: [tools[1]] as never,
          tool_choice: 'required' as const,
          seed,
          max_tokens: 1500,
          ...more,
        };
        const { choices } = await server.client.chat.completions.create(asked);
        return choices[0].finish_reason === 'tool_calls' ? choices[0].message.tool_calls!.length : 1;
      });
      return Math.max(...(await Promise.all(counts)));
    };
    expect(await count({})).toBe(1);
    expect(await count({ parallel_tool_calls: true })).toBeGreaterThan(1);
  });

  it('is streamed as a call', async () => {
    const whole = await server.client.chat.completions.create(request);
    const deltas = [];
    let reason: string | null = null;
    for await (const { choices } of await server.client.chat.completions.create({ ...request, stream: true })) {
      deltas.push(choices[0].delta);
      reason = choices[0].finish_reason ?? reason;
    }
    expect(reason).toBe('tool_calls');
    const parts = deltas.flatMap((delta) => delta.tool_calls ?? []);
    expect(parts[0]).toMatchObject({ index: 0, type: 'function', function: { name: 'refund', arguments: '' } });
    expect(parts.length).toBeGreaterThan(5);
    const [expected] = whole.choices[0].message.tool_calls as { function: { arguments: string } }[];
    const given = parts.map((part) => part.function!.arguments).join('');
    expect(JSON.parse(given)).toEqual(JSON.parse(expected.function.arguments));
    expect(deltas.map((delta) => delta.content ?? '').join('')).toBe('');
  });

  it('among several tools is one of them', async () => {
    const { choices } = await server.client.chat.completions.create({ ...request, tool_choice: 'required' });
    const [call] = choices[0].message.tool_calls as { function: { name: string } }[];
    expect(['refund', 'close']).toContain(call.function.name);
  });

  it('of a tool that is not there is refused', async () => {
    const refused = server.client.chat.completions.create({
      ...request,
      tool_choice: { type: 'function', function: { name: 'none' } },
    });
    await expect(refused).rejects.toMatchObject({ status: 400, param: 'tool_choice.function.name' });
  });

  it('a conversation with earlier calls is understood', async () => {
    const { choices } = await server.client.chat.completions.create({
      ...request,
      tool_choice: 'none',
      max_tokens: 5,
      messages: [
        ...request.messages,
        {
          role: 'assistant',
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'close', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'done' },
      ],
    });
    expect(choices[0].message.content).toEqual(expect.any(String));
  });
});

describe('reading calls', () => {
  it('finds several, and the text around them', () => {
    const one = '<tool_call>\n{"name": "close", "arguments": {}}\n</tool_call>';
    const { content, calls } = parseCalls(`Sure.\n${one}\n${one}`, tools);
    expect(content).toBe('Sure.');
    expect(calls.map((call) => call.function)).toEqual([
      { name: 'close', arguments: '{}' },
      { name: 'close', arguments: '{}' },
    ]);
    expect(new Set(calls.map((call) => call.id)).size).toBe(2);
  });

  it('takes a bare object of a known tool for a call, and no other', () => {
    expect(parseCalls('{"name": "close", "parameters": {"a": 1}}', tools).calls[0].function.arguments).toBe('{"a":1}');
    expect(parseCalls('{"name": "other", "parameters": {}}', tools).calls).toEqual([]);
    expect(parseCalls('{"intent": "refund"}', tools)).toEqual({ content: '{"intent": "refund"}', calls: [] });
  });

  it('leaves what is no call as text', () => {
    const text = 'see <tool_call>not json</tool_call>';
    expect(parseCalls(text, tools)).toEqual({ content: text, calls: [] });
  });

  it('sends text up to where a call begins, letter by letter', () => {
    const answer = 'One <b> moment. <tool_call>{"name": "close", "arguments": {}}</tool_call>';
    const before = new TextBeforeCalls();
    const sent = [...answer].map((letter) => before.push(letter)).join('');
    expect(sent).toBe('One <b> moment. ');
    expect(before.rest(parseCalls(answer, tools))).toBe('');
  });

  it('sends everything of an answer without calls', () => {
    const before = new TextBeforeCalls();
    const sent = [...'{"a": 1} <tool'].map((letter) => before.push(letter)).join('');
    expect(sent + before.rest({ content: '', calls: [] })).toBe('{"a": 1} <tool');
  });
});

it('calls are cut into pieces wherever the answer is', () => {
  const answer =
    'Well. <tool_call>\n{"name": "a\\"b", "arguments": {"x": "}\\"{", "y": {"z": 1}}}\n</tool_call>\n' +
    '<tool_call>{"name":"c","parameters":{}}</tool_call> <tool_call>{"arguments": {}, "name": "d"}</tool_call>';
  for (const size of [1, 7, 1000]) {
    const deltas = new CallDeltas();
    const parts: CallDelta[] = [];
    for (let at = 0; at < answer.length; at += size) parts.push(...deltas.push(answer.slice(at, at + size)));
    const given = (index: number) =>
      parts
        .filter((part) => part.index === index)
        .map((part) => part.function.arguments)
        .join('');
    expect(parts.map((part) => part.function.name).filter((name) => name !== undefined)).toEqual(['a"b', 'c']);
    expect(JSON.parse(given(0))).toEqual({ x: '}"{', y: { z: 1 } });
    expect(given(1)).toBe('{}');
    expect(deltas.begun).toBe(2);
    expect(parseCalls(answer, []).calls.map((call) => call.function.name)).toEqual(['a"b', 'c', 'd']);
  }
});
