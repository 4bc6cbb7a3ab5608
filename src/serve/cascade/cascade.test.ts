// A student and its teacher behind one address: who answers, what it costs, what is recorded, what happens when one is away.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startTinyServer, type TinyServer } from '../../../test/tiny-server.ts';
import { HourlyBudget } from './budget.ts';
import type { CascadeSettings } from './cascade.ts';

let teacher: Server;
let teacherUrl: string;
let status = 200;
let asked: { model: string; messages: object[]; stream?: boolean }[] = [];
let server: TinyServer | undefined;

beforeAll(async () => {
  teacher = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    asked.push(JSON.parse(Buffer.concat(parts).toString()));
    response.writeHead(status, { 'content-type': 'application/json' });
    const message = { role: 'assistant', content: 'from the teacher' };
    const usage = { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 };
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
});

const recorded: object[] = [];

/** A calibration that is sure of everything (bias 5) or of nothing (bias -5). */
async function start(bias: number, more: Partial<CascadeSettings> = {}): Promise<TinyServer> {
  recorded.length = 0;
  server = await startTinyServer({
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
  guided_choice: ['red', 'blue'],
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

test('both stream', async () => {
  await start(-5);
  const texts = async (response: Response) =>
    (await response.text())
      .split('\n\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice(6)) as { choices: { delta: { content?: string } }[]; usage?: object });
  const far = await texts(await post({ stream: true, stream_options: { include_usage: true } }));
  expect(far.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).join('')).toBe(
    'from the teacher',
  );
  expect(far.at(-1)).toMatchObject({ usage: { prompt_tokens: 1000 } });
  expect(asked[0].stream).toBeUndefined();
  await server!.close();
  await start(5);
  const near = await texts(await post({ stream: true }));
  expect(['red', 'blue']).toContain(
    near.flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? '')).join(''),
  );
});

test('a teacher that is away, or paid out, leaves the answer to the student', async () => {
  await start(-5, { usdPerHour: 1 });
  status = 500;
  expect(who(await post())).toEqual(['student', 'teacher-away']);
  status = 200;
  expect(who(await post())).toEqual(['teacher', 'unsure']);
  expect(who(await post())).toEqual(['student', 'budget']);
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
