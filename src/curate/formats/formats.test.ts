// Foreign formats: each becomes the same chat row, is told by the row itself, and is refused with a reason when it is none.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteFile } from 'hyparquet-writer';
import { afterAll, describe, expect, test } from 'vitest';
import { importTraces } from '../import.ts';
import type { Json } from './convert.ts';
import { readConversations } from './read.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-formats-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

const file = (text: string | Buffer): string => {
  const path = join(folder, `rows-${++count}`);
  writeFileSync(path, text);
  return path;
};
async function rows(path: string): Promise<(Json | string)[]> {
  const all: (Json | string)[] = [];
  for await (const { text, reason } of readConversations(path, 1 << 20)) all.push(reason ?? (JSON.parse(text) as Json));
  return all;
}
const lines = (...values: unknown[]) => rows(file(values.map((value) => `${JSON.stringify(value)}\n`).join('')));

const asked = { role: 'user', content: 'where is my parcel?' };
const answered = { role: 'assistant', content: 'track_order' };
const system = { role: 'system', content: 'classify' };
const messages = [system, asked, answered];
const usage = { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 };
const completion = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  model: 'gpt-4o',
  choices: [{ index: 0, message: answered, finish_reason: 'stop' }],
  usage,
};

test('CSV: fields in quotes hold commas, quotes and new lines; a row of another width is refused by its line', async () => {
  const quoted = (value: unknown) => `"${JSON.stringify(value).replaceAll('"', '""')}"`;
  const text = [
    '\uFEFFid,traceId,type,model,input,output,promptTokens',
    `o1,t1,GENERATION,gpt-4o,${quoted({ messages: [asked] })},${quoted(answered)},12`,
    '',
    'o2,t2,GENERATION,gpt-4o,"said ""no"",',
    'twice",plain answer,',
    'o3,t3,GENERATION',
    `o4,t4,SPAN,,"x","${'y'.repeat(130)}",`,
  ];
  for (const end of ['\n', '\r\n']) {
    const found = await rows(file(text.join(end)));
    expect(found).toMatchObject([
      { id: 'o1', model: 'gpt-4o', messages: [asked, answered] },
      { id: 'o2', messages: [{ role: 'user', content: `said "no",${end}twice` }, { content: 'plain answer' }] },
      'not CSV: 3 fields where the head has 7',
      'not a generation: SPAN',
    ]);
  }
  const limited: unknown[] = [];
  for await (const { line, reason } of readConversations(file(text.join('\n')), 130)) limited.push([line, reason]);
  expect(limited.slice(-2)).toEqual([
    [6, 'not CSV: 3 fields where the head has 7'],
    [7, 'over-long: the row has more than 130 characters'],
  ]);
});

test('a compressed file is named as one', async () => {
  await expect(rows(file(gzipSync('{"messages": []}')))).rejects.toThrow('the file is compressed');
});

test('plain chat rows and lines that are no rows pass as they are', async () => {
  const text = '{"messages": [], "z": 1}\nnot json\n\n[1, 2]\n';
  const seen: [number, string][] = [];
  for await (const { line, text: row } of readConversations(file(text), 1000)) seen.push([line, row]);
  expect(seen).toEqual([
    [1, '{"messages": [], "z": 1}'],
    [2, 'not json'],
    [3, ''],
    [4, '[1, 2]'],
  ]);
});

test('ShareGPT, with a system prompt, tool calls and a document of one list', async () => {
  const conversations = [
    { from: 'human', value: asked.content },
    { from: 'gpt', value: answered.content },
  ];
  const row = { id: 'x', system: 'classify', conversations };
  expect(await lines(row)).toEqual([{ id: 'x', messages }]);
  expect(await rows(file(JSON.stringify([row, row], null, 2)))).toEqual([
    { id: 'x', messages },
    { id: 'x', messages },
  ]);
  expect(await rows(file(JSON.stringify({ data: [row] })))).toEqual([{ id: 'x', messages }]);
  const [call] = (await lines({
    conversations: [
      conversations[0],
      { from: 'function_call', value: '{"name": "find", "arguments": {"id": 7}}' },
      { from: 'observation', value: 'in Berlin' },
      conversations[1],
    ],
  })) as { messages: Json[] }[];
  expect(call.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
  expect(call.messages[1].tool_calls).toEqual([
    { type: 'function', function: { name: 'find', arguments: '{"id":7}' } },
  ]);
  // some write OpenAI's messages under ShareGPT's name
  const called = {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
  };
  const chat = [asked, called, { role: 'tool', tool_call_id: 'c', content: 'in Berlin' }, answered];
  expect(await lines({ conversations: chat })).toEqual([{ messages: chat }]);
  expect(await lines({ conversations: [{ from: 'martian', value: 'x' }] })).toEqual([
    'conversations[0]: not a turn of ShareGPT with a known "from"',
  ]);
});

test('Alpaca, with input and history; prompt and completion', async () => {
  expect(
    await lines(
      { instruction: 'where is', input: 'my parcel?', output: 'track_order', system: 'classify' },
      { instruction: asked.content, input: '', output: 'track_order', history: [['hi', 'hello']] },
      { prompt: asked.content, completion: 'track_order' },
      { prompt: [system, asked], completion: [answered] },
    ),
  ).toEqual([
    { messages: [system, { role: 'user', content: 'where is\n\nmy parcel?' }, answered] },
    { messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'hello' }, asked, answered] },
    { messages: [asked, answered] },
    { messages },
  ]);
});

test('one bad item spoils neither a JSON list nor its neighbours', async () => {
  const good = { instruction: 'a', output: 'b' };
  const list = [good, null, 5, { instruction: 5, output: 'b' }, { instruction: 'a' }, { ...good, history: 7 }, good];
  const turned = {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  };
  expect(await rows(file(JSON.stringify(list)))).toEqual([
    turned,
    null,
    5,
    'instruction: not a text',
    'output: the field is missing',
    'history: not a list of [question, answer]',
    turned,
  ]);
});

describe('OpenAI batch files', () => {
  const request = (id: string) => ({
    custom_id: id,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'gpt-4o', messages: [system, asked] },
  });
  const output = (
    id: string,
    response: object = { status_code: 200, body: completion },
    error: object | null = null,
  ) => ({
    id: `batch_req_${id}`,
    custom_id: id,
    response,
    error,
  });

  test('are joined by custom_id, in any order', async () => {
    const row = { id: 'b', model: 'gpt-4o', usage, finish_reason: 'stop', messages };
    expect(await lines(request('a'), request('b'), output('b'), output('a'))).toEqual([row, { ...row, id: 'a' }]);
    expect(await lines(output('b'), request('b'))).toEqual([row]);
  });

  test('failures and answers without a request have a reason', async () => {
    const failed = await lines(request('a'), output('a', { status_code: 429, body: {} }));
    expect(failed).toEqual(['failed in the batch: status 429']);
    expect(await lines(output('a'), output('b'))).toEqual([
      expect.stringContaining('2 answers; put both files into one'),
    ]);
  });
});

test("the gateway's recordings, with tags, scores and corrected answers", async () => {
  const row = {
    id: 'ex_1',
    model: 'gpt-4o',
    outcome: 'complete',
    request: { model: 'gpt-4o', messages: [system, asked], tools: [{ type: 'function' }] },
    response: completion,
    tags: { team: 'a' },
    feedback: [],
  };
  const said = { ...row, feedback: [{ score: 0 }, { corrected: 'cancel_order' }, { score: 1 }] };
  const plain = {
    id: 'ex_1',
    model: 'gpt-4o',
    tools: [{ type: 'function' }],
    usage,
    finish_reason: 'stop',
    tags: { team: 'a' },
    messages,
  };
  expect(await lines(row, { ...row, outcome: 'cancelled' }, said)).toEqual([
    plain,
    'not complete: cancelled',
    {
      ...plain,
      tags: { team: 'a', score: '1', corrected: 'yes' },
      messages: [system, asked, { role: 'assistant', content: 'cancel_order' }],
    },
  ]);
});

test('the Responses API, in recordings and batches: instructions, calls, images, and what a chat cannot hold', async () => {
  const request = {
    model: 'gpt-4o',
    instructions: 'classify',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'what is this?' },
          { type: 'input_image', image_url: 'data:x' },
        ],
      },
      { type: 'function_call', call_id: 'c', name: 'find', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: 'in Berlin' },
    ],
    tools: [{ type: 'function', name: 'find', parameters: {} }],
  };
  const text = { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'track_order' }] };
  const call = { type: 'function_call', call_id: 'd', name: 'find', arguments: '{"id":7}' };
  const response = {
    object: 'response',
    model: 'gpt-4o',
    output: [{ type: 'reasoning', summary: [] }, text, call],
    usage: { input_tokens: 12, output_tokens: 3, input_tokens_details: { cached_tokens: 4 } },
  };
  const find = (id: string, args: string) => ({ id, type: 'function', function: { name: 'find', arguments: args } });
  const row = {
    id: 'r',
    model: 'gpt-4o',
    tools: [{ type: 'function', function: { name: 'find', parameters: {} } }],
    usage: { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } },
    finish_reason: 'stop',
    messages: [
      system,
      {
        role: 'user',
        content: [
          { type: 'text', text: 'what is this?' },
          { type: 'image_url', image_url: { url: 'data:x' } },
        ],
      },
      { role: 'assistant', content: null, tool_calls: [find('c', '{}')] },
      { role: 'tool', tool_call_id: 'c', content: 'in Berlin' },
      { role: 'assistant', content: 'track_order', tool_calls: [find('d', '{"id":7}')] },
    ],
  };
  expect(await lines({ id: 'r', model: 'gpt-4o', request, response, outcome: 'complete' })).toEqual([row]);
  const batch = { custom_id: 'r', method: 'POST', url: '/v1/responses', body: request };
  expect(await lines(batch, { custom_id: 'r', response: { status_code: 200, body: response } })).toEqual([row]);
  const recorded = (more: object, output = response.output) => ({
    request: { model: 'm', input: 'hi', ...more },
    response: { ...response, output },
  });
  const search = { type: 'web_search_call', id: 'w' } as never;
  expect(await lines(recorded({ previous_response_id: 'x' }), recorded({}, [search]), recorded({}, []))).toEqual([
    'goes on from an earlier response, which the request does not hold',
    'not a message or a call: web_search_call',
    'the response has no message and no call',
  ]);
});

test('Langfuse: observations, traces around them, and what is no generation', async () => {
  const generation = {
    id: 'obs-1',
    traceId: 't',
    type: 'GENERATION',
    model: 'gpt-4o',
    input: JSON.stringify([system, asked]),
    output: answered,
    usageDetails: { input: 12, output: 3, total: 15 },
  };
  const counts = { prompt_tokens: 12, completion_tokens: 3 };
  const row = { id: 'obs-1', model: 'gpt-4o', usage: counts, messages };
  expect(await lines(generation, { ...generation, type: 'SPAN' })).toEqual([row, 'not a generation: SPAN']);
  const exported = {
    id: 'obs-1',
    trace_id: 't',
    type: 'GENERATION',
    provided_model_name: 'gpt-4o',
    input: JSON.stringify({ messages: [system, asked] }),
    output: JSON.stringify(answered),
    usage_details: JSON.stringify({ input: 12, output: 3, total: 15 }),
  };
  expect(await lines(exported)).toEqual([row]);
  const trace = {
    id: 't',
    tags: ['vip'],
    metadata: { team: 'a', nested: {} },
    observations: [
      { type: 'SPAN', input: 'x' },
      { ...generation, input: { messages: [system, asked] } },
      { ...generation, id: 'obs-2', output: null },
    ],
  };
  expect(await lines(trace)).toEqual([{ ...row, tags: { vip: 'yes', team: 'a' } }]);
});

test('LiteLLM: the standard payload and the table of spend', async () => {
  const payload = {
    id: 'l',
    model: 'gpt-4o',
    messages: [system, asked],
    response: completion,
    request_tags: ['team:a', 'vip'],
  };
  const spend = {
    request_id: 's',
    model: 'gpt-4o',
    messages: '{}',
    proxy_server_request: JSON.stringify({ messages: [system, asked] }),
    response: JSON.stringify({ choices: completion.choices }),
    prompt_tokens: 12,
    completion_tokens: 3,
  };
  const row = { model: 'gpt-4o', finish_reason: 'stop', messages };
  expect(await lines(payload, spend, { ...payload, response: '{}' }, { ...payload, status: 'failure' })).toEqual([
    { ...row, id: 'l', usage, tags: { team: 'a', vip: 'yes' } },
    { ...row, id: 's', usage: { prompt_tokens: 12, completion_tokens: 3 } },
    'not a conversation: messages or response were not kept in the log',
    'failed: the log says that the call did not succeed',
  ]);
});

test('Parquet: lists of structs, JSON as text, large integers; more rows than one group', async () => {
  const path = join(folder, 'rows.parquet');
  const all = Array.from({ length: 5000 }, (_, i) => i);
  parquetWriteFile({
    filename: path,
    columnData: [
      { name: 'id', data: all.map((i) => `p${i}`), type: 'STRING' },
      { name: 'messages', data: all.map(() => messages), type: 'JSON' },
      { name: 'tokens', data: all.map((i) => BigInt(i)), type: 'INT64' },
    ],
  });
  const read = (await rows(path)) as Json[];
  expect(read.length).toBe(5000);
  expect(read[4321]).toEqual({ id: 'p4321', messages, tokens: 4321 });
  await expect(rows(file('PAR1 and then nothing'))).rejects.toThrow(/Parquet file cannot be read/);
});

// pyarrow: write_table(three rows, compression='zstd')
const ZSTD =
  'UEFSMRUEFSoVPEwVBBUAEgAAKLUv/SAVqQAABAAAAHVzZXIJAAAAYXNzaXN0YW50FQAVHhUwLBUMFRAVBhUGHAAAACi1L/0gD3kAAAIAAAADKgIAAAAMBAEDKhUEFUwVXkwVBBUAEgAAKLUv/SAmMQEAEwAAAHdoZXJlIGlzIG15IHBhcmNlbD8LAAAAdHJhY2tfb3JkZXIVABUeFTAsFQwVEBUGFQYcAAAAKLUv/SAPeQAAAgAAAAMqAgAAAAwEAQMqFQQVHhUwTBUGFQASAAAotS/9IA95AAABAAAAYQEAAABiAQAAAGMVABUUFSYsFQYVEBUGFQYcAAAAKLUv/SAKUQAAAgAAAAYBAgMkABUEGXw1ABgGc2NoZW1hFQQANQIYCG1lc3NhZ2VzFQIVBkw8AAAANQQYBGxpc3QVAgA1AhgHZWxlbWVudBUEABUMJQIYBHJvbGUlAEwcAAAAFQwlAhgHY29udGVudCUATBwAAAAVDCUCGAJpZCUATBwAAAAWBhkcGTwmABwVDBk1AAYQGUgIbWVzc2FnZXMEbGlzdAdlbGVtZW50BHJvbGUVDBYMFooBFq4BJmAmCCksFQQVABUCABUAFRAVAgA8Fk4ZJgYGGVYAAAAADAAAACYAHBUMGTUABhAZSAhtZXNzYWdlcwRsaXN0B2VsZW1lbnQHY29udGVudBUMFgwWrAEW0AEmsAImtgEpLBUEFQAVAgAVABUQFQIAPBa0ARkmBgYZVgAAAAAMAAAAJgAcFQwZNQAGEBkYAmlkFQwWBhZ0FpgBJtIDJoYDKSwVBBUAFQIAFQAVEBUCADwWBhkGGSYABgAAABaqAxYGJggWlgQAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRk8HAAAHAAAHAAAAJ4BAABQQVIx';

test('Parquet as pyarrow and polars write it, with zstd', async () => {
  const path = join(folder, 'zstd.parquet');
  writeFileSync(path, Buffer.from(ZSTD, 'base64'));
  expect(await rows(path)).toEqual(['a', 'b', 'c'].map((id) => ({ id, messages: [asked, answered] })));
});

test('import takes them, rejects by row, and counts what was converted', async () => {
  const good = Array.from({ length: 40 }, (_, i) => ({
    instruction: `question number ${i} about ${i * 7}`,
    output: `answer ${i}`,
  }));
  const path = file(JSON.stringify([...good, { instruction: 'empty', output: '' }]));
  const facts = await importTraces({ traces: path, folder: mkdtempSync(join(folder, 'out-')) });
  expect(facts).toMatchObject({ rows: 41, accepted: 40, rejected: 1, reasons: { 'empty answer': 1 } });
});
