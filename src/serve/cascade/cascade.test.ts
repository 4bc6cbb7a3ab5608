// A student and its teacher behind one address: who answers, what it costs, what is recorded, what happens when one is away.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startTinyServer, type TinyServer } from '../../../test/tiny-server.ts';
import type { ServeOptions } from '../serve.ts';
import { HourlyBudget } from './budget.ts';
import type { CascadeSettings } from './cascade.ts';

let teacher: Server;
let teacherUrl: string;
let status = 200;
let asked: { model: string; messages: object[]; stream?: boolean }[] = [];
/** What the teacher says; streamed in two halves, the second when `release` is called. */
let content = 'from the teacher';
let release: (() => void) | undefined;
let breaksOff = false;
/** A whole answer, too, waits for `release`. */
let holds = false;
let server: TinyServer | undefined;

beforeAll(async () => {
  teacher = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    asked.push(JSON.parse(Buffer.concat(parts).toString()));
    const usage = { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 };
    if (asked.at(-1)!.stream && status === 200) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const chunk = (rest: object) => response.write(`data: ${JSON.stringify({ id: 'x', model: 't', ...rest })}\n\n`);
      const delta = (part: object, finish_reason: string | null = null) =>
        chunk({ choices: [{ index: 0, delta: part, finish_reason }] });
      delta({ role: 'assistant', content: content.slice(0, 5) });
      await new Promise<void>((done) => {
        release = done;
      });
      if (breaksOff) return void response.destroy();
      delta({ content: content.slice(5) });
      delta({}, 'stop');
      chunk({ choices: [], usage });
      return void response.end('data: [DONE]\n\n');
    }
    if (holds) {
      await new Promise<void>((done) => {
        release = done;
      });
    }
    response.writeHead(status, { 'content-type': 'application/json' });
    const message = { role: 'assistant', content };
    response.end(
      JSON.stringify({
        id: 'x',
        object: 'chat.completion',
        model: 't',
        choices: [{ index: 0, message, finish_reason: 'stop' }],
        usage,
      }),
    );
  });
  await new Promise<void>((done) => teacher.listen(0, '127.0.0.1', done));
  teacherUrl = `http://127.0.0.1:${(teacher.address() as AddressInfo).port}/v1`;
});
afterAll(() => teacher.close());
afterEach(async () => {
  await server?.close();
  status = 200;
  asked = [];
  content = 'from the teacher';
  release = undefined;
  breaksOff = false;
  holds = false;
});

const recorded: object[] = [];

/** A calibration that is sure of everything (bias 5) or of nothing (bias -5). */
async function start(
  bias: number,
  more: Partial<CascadeSettings> = {},
  options: Partial<ServeOptions> = {},
): Promise<TinyServer> {
  recorded.length = 0;
  server = await startTinyServer({
    ...options,
    cascade: {
      mode: 'cascade',
      teacher: { url: teacherUrl, model: 'big', timeoutMs: 2000 },
      calibration: { bias, weights: [0, 0, 0], json: false },
      threshold: 0.5,
      share: 0.5,
      usdOf: ({ prompt_tokens = 0 }) => prompt_tokens / 1000,
      record: (row) => recorded.push(row),
      ...more,
    },
  });
  return server;
}

// the tiny student babbles without an end: a closed set of answers ends one
const body = {
  messages: [{ role: 'user', content: 'hi' }],
  max_tokens: 4,
  temperature: 0,
  guided_choice: ['red', 'blue', 'from the teacher'],
};
const post = (more: object = {}, key = 'k') =>
  server!.post(
    '/v1/chat/completions',
    { ...body, ...more },
    {
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    },
  );
const who = (response: Response) => [
  response.headers.get('x-cupel-answered-by'),
  response.headers.get('x-cupel-reason'),
];

test('a sure student answers itself; its token probabilities stay its own', async () => {
  await start(5);
  const response = await post();
  expect(who(response)).toEqual(['student', 'confident']);
  expect(Number(response.headers.get('x-cupel-confidence'))).toBeCloseTo(0.9933, 3);
  const { choices } = (await response.json()) as { choices: { message: { content: string }; logprobs: null }[] };
  expect(['red', 'blue']).toContain(choices[0].message.content);
  expect(choices[0].logprobs).toBeNull();
  expect(asked).toEqual([]);
});

test('an unsure one hands over; the answer is recorded, and metrics and status tell', async () => {
  await start(-5);
  const response = await post();
  expect(who(response)).toEqual(['teacher', 'unsure']);
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'from the teacher' } }] });
  expect(asked[0]).toMatchObject({ model: 'big', messages: body.messages });
  expect(recorded).toEqual([
    {
      model: 'big',
      messages: [...body.messages, { role: 'assistant', content: 'from the teacher' }],
      usage: expect.anything(),
    },
  ]);
  expect(await (await server!.get('/metrics')).text()).toContain(
    'cupel_cascade_answers_total{by="teacher",reason="unsure"} 1',
  );
  expect(await (await server!.get('/v1/cascade')).json()).toMatchObject({
    mode: 'cascade',
    answers: [{ by: 'teacher', reason: 'unsure', count: 1 }],
    usd_last_hour: 1,
    paired: { n: 1, equal: 0 },
  });
});

test('an answer of the teacher that is no JSON where JSON was asked for is passed on, and teaches nothing', async () => {
  await start(-5);
  const response = await post({ guided_choice: undefined, response_format: { type: 'json_object' } });
  expect(who(response)).toEqual(['teacher', 'unsure']);
  expect(asked).toHaveLength(1);
  expect(recorded).toEqual([]);
});

type Event = { choices: { delta: { content?: string } }[]; usage?: object; error?: { code: string } };

const eventsOf = (text: string) =>
  text
    .split('\n\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)) as Event);

const textOf = (events: Event[]) =>
  events.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta.content ?? '')).join('');

/** Reads what is there, then lets the teacher go on. */
async function streamed(response: Response): Promise<{ first: string; all: Event[] }> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  const first = decoder.decode((await reader.read()).value, { stream: true });
  release!();
  let text = first;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += decoder.decode(part.value, { stream: true });
  }
  return { first, all: eventsOf(text) };
}

test('an answer of the teacher is passed on while it is being written, and recorded as a whole', async () => {
  await start(-5);
  const response = await post({ guided_choice: undefined, stream: true, stream_options: { include_usage: true } });
  expect(who(response)).toEqual(['teacher', 'unsure']);
  const { first, all } = await streamed(response);
  expect(textOf(eventsOf(first))).toBe('from ');
  expect(textOf(all)).toBe('from the teacher');
  expect(all.at(-1)).toMatchObject({ usage: { prompt_tokens: 1000 } });
  expect(asked[0].stream).toBe(true);
  expect(recorded).toMatchObject([
    { messages: [...body.messages, { role: 'assistant', content: 'from the teacher' }] },
  ]);
  expect(await (await server!.get('/v1/cascade')).json()).toMatchObject({ usd_last_hour: 1, paired: { n: 1 } });
});

test('who did not ask for usage gets no chunk of it', async () => {
  await start(-5);
  const { all } = await streamed(await post({ guided_choice: undefined, stream: true }));
  expect(all.every(({ choices }) => choices.length === 1)).toBe(true);
});

test('a teacher that breaks off in the middle ends the stream with an error, costs, and teaches nothing', async () => {
  await start(-5);
  breaksOff = true;
  const { all } = await streamed(await post({ guided_choice: undefined, stream: true }));
  expect(all.at(-1)).toMatchObject({ error: { code: 'teacher_broke_off' } });
  expect(recorded).toEqual([]);
  const { usd_last_hour } = (await (await server!.get('/v1/cascade')).json()) as { usd_last_hour: number };
  expect(usd_last_hour).toBeGreaterThan(0);
});

test('a teacher that is away before its first word leaves the stream to the student', async () => {
  await start(-5);
  status = 500;
  const response = await post({ stream: true });
  expect(who(response)).toEqual(['student', 'teacher-away']);
  expect(['red', 'blue']).toContain(textOf(eventsOf(await response.text())));
});

test('a sure student streams too', async () => {
  await start(5);
  expect(['red', 'blue']).toContain(textOf(eventsOf(await (await post({ stream: true })).text())));
});

const schema = { type: 'object', properties: { colour: { enum: ['red', 'blue'] } }, required: ['colour'] };
const response_format = { type: 'json_schema', json_schema: { name: 'colour', schema } };

test('only an answer that satisfies the schema that was asked for is recorded', async () => {
  await start(-5);
  content = '{"colour": "green"}';
  expect(who(await post({ guided_choice: undefined, response_format }))).toEqual(['teacher', 'unsure']);
  expect(recorded).toEqual([]);
  content = '{"colour": "red"}';
  await post({ guided_choice: undefined, response_format });
  expect(recorded).toHaveLength(1);
});

test('of a closed set the teacher gives one as it is spelled there, streamed or not; anything else is no answer', async () => {
  await start(-5);
  content = ' "Blue." ';
  const response = await post();
  expect(who(response)).toEqual(['teacher', 'unsure']);
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'blue' } }] });
  const stream = await post({ stream: true });
  expect(who(stream)).toEqual(['teacher', 'unsure']);
  expect(textOf(eventsOf(await stream.text()))).toBe('blue');
  expect(recorded).toHaveLength(2);
  expect(recorded[1]).toMatchObject({ messages: [...body.messages, { role: 'assistant', content: 'blue' }] });
  content = 'I would say blue';
  for (const more of [{}, { stream: true }]) expect(who(await post(more))).toEqual(['student', 'teacher-away']);
  expect(recorded).toHaveLength(2);
  // it was paid all the same
  expect(await (await server!.get('/v1/cascade')).json()).toMatchObject({ usd_last_hour: 4, teacher_away: false });
});

test('agreement draws further answers, and counts', async () => {
  const weights = [0, 0, 0, 10];
  await start(0, { agreement: 3, calibration: { bias: -15, weights, json: false } });
  const response = await post();
  // 10 times the agreement, at most 1, is never enough against -15
  expect(who(response)).toEqual(['teacher', 'unsure']);
  expect(Number(response.headers.get('x-cupel-confidence'))).toBeLessThan(0.01);
  const answers = /cupel_answers_total\{model="tiny",reason="stop"\} (\d+)/.exec(
    await (await server!.get('/metrics')).text(),
  );
  expect(Number(answers![1])).toBe(4);
});

test('a teacher that is away, or paid out, leaves the answer to the student', async () => {
  await start(-5, { usdPerHour: 1 });
  status = 500;
  expect(who(await post())).toEqual(['student', 'teacher-away']);
  status = 200;
  expect(who(await post())).toEqual(['teacher', 'unsure']);
  expect(who(await post())).toEqual(['student', 'budget']);
});

test('a teacher that fails again and again is not asked for a while; refusals of one request do not count', async () => {
  await start(-5);
  status = 422;
  for (let i = 0; i < 4; i++) expect(who(await post())).toEqual(['student', 'teacher-away']);
  expect(asked).toHaveLength(4);
  status = 503;
  for (let i = 0; i < 5; i++) expect(who(await post())).toEqual(['student', 'teacher-away']);
  expect(asked).toHaveLength(7);
  expect(await (await server!.get('/v1/cascade')).json()).toMatchObject({ teacher_away: true });
  expect(await (await server!.get('/metrics')).text()).toContain('cupel_cascade_teacher_away 1');
});

test('raw prompts are answered by the student, which says so, streamed or not', async () => {
  await start(-5);
  const body = { model: 'tiny', prompt: 'abc', max_tokens: 2 };
  expect(who(await server!.post('/v1/completions', body))).toEqual(['student', 'raw-prompt']);
  const streaming = await server!.post('/v1/completions', { ...body, stream: true });
  expect(who(streaming)).toEqual(['student', 'raw-prompt']);
  expect(await streaming.text()).toContain('[DONE]');
  expect(asked).toEqual([]);
});

test('a shadow answers nobody and is compared', async () => {
  await start(5, { mode: 'shadow' });
  expect(who(await post())).toEqual(['teacher', 'shadow']);
  const paired = async () => ((await (await server!.get('/v1/cascade')).json()) as { paired: object }).paired;
  await expect.poll(paired).toMatchObject({ n: 1, equal: 0 });
});

test('a canary answers the same callers always, and about its share of them', async () => {
  await start(-5, { mode: 'canary' });
  const by = async (key: string) => who(await post({}, key))[0];
  const keys = Array.from({ length: 24 }, (_, i) => `key-${i}`);
  const first: (string | null)[] = [];
  for (const key of keys) first.push(await by(key));
  const students = first.filter((name) => name === 'student').length;
  expect(students).toBeGreaterThan(4);
  expect(students).toBeLessThan(20);
  expect(await by(keys[0])).toBe(first[0]);
  expect(await by(keys[1])).toBe(first[1]);
});

test('the teacher gets only fields that its API knows', async () => {
  await start(-5);
  const more = { top_k: 5, min_p: 0.1, repeat_penalty: 1.1, ignore_eos: false, seed: 3 };
  expect(who(await post(more))).toEqual(['teacher', 'unsure']);
  expect(Object.keys(asked[0]).sort()).toEqual(['max_tokens', 'messages', 'model', 'seed', 'temperature']);
});

test('several answers at once are refused, because one of them would go unchecked', async () => {
  await start(5);
  const refused = await post({ n: 2 });
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ error: { param: 'n' } });
});

test('what was not calibrated answers alone', async () => {
  await start(-5, {}, { adminKey: 'secret' });
  const headers = { 'content-type': 'application/json', authorization: 'Bearer secret' };
  const path = join(server!.folder, 'tiny.gguf');
  expect((await server!.post('/admin/models', { id: 'other', path }, { headers })).status).toBe(201);
  expect(who(await post({ model: 'other' }))).toEqual([null, null]);
  expect(who(await post({ model: 'tiny' }))).toEqual(['teacher', 'unsure']);
});

test.each([true, false])('a server that stops waits for the teacher (streamed: %s)', async (stream) => {
  await start(-5);
  holds = true;
  const response = post({ stream });
  await expect.poll(() => release !== undefined).toBe(true);
  const { close } = server!;
  server = undefined;
  const closed = close();
  await new Promise((done) => setTimeout(done, 1500));
  release!();
  expect(await (await response).text()).toContain('eacher');
  await closed;
});

test('a server without a teacher says so', async () => {
  server = await startTinyServer();
  expect((await server.get('/v1/cascade')).status).toBe(404);
});

test('money counts for an hour', () => {
  let now = 0;
  const budget = new HourlyBudget(3, () => now);
  budget.spend(2);
  expect(budget.exhausted()).toBe(false);
  now = 1_800_000;
  budget.spend(1);
  expect(budget.exhausted()).toBe(true);
  now = 3_600_001;
  expect(budget.spent()).toBe(1);
});
