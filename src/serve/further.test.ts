// The routes beside generation: closed sets of answers, embeddings, token ids, metrics; and that drafts change nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTinyServer, type TinyServer } from '../../test/tiny-server.ts';

let server: TinyServer;
beforeAll(async () => {
  server = await startTinyServer({ contextTokens: 2048 });
});
afterAll(() => server.close());

const json = async (path: string, body: unknown) =>
  (await server.post(path, body)).json() as Promise<Record<string, unknown>>;

describe('an answer from a closed set', () => {
  const labels = ['card arrival', 'card linking', 'card', 'refund', 'cash', '退款'];
  const ask = (content: string, more: object = {}) =>
    json('/v1/chat/completions', {
      messages: [{ role: 'user', content }],
      temperature: 0,
      guided_choice: labels,
      ...more,
    }) as Promise<{
      choices: { message: { content: string }; confidence: number; finish_reason: string }[];
    }>;

  it('is one of the set, with a probability', async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const { choices } = await ask(`question ${i}`, { temperature: 1, seed: i });
      expect(labels).toContain(choices[0].message.content);
      expect(choices[0].confidence).toBeGreaterThan(0);
      expect(choices[0].confidence).toBeLessThanOrEqual(1);
      expect(choices[0].finish_reason).toBe('stop');
      seen.add(choices[0].message.content);
    }
    expect(seen.size).toBeGreaterThan(2);
  });

  it('is what the model would write if it could write nothing else', async () => {
    for (const content of ['a', 'bb', 'what now', 'card?']) {
      const { choices } = await ask(content);
      const asked = {
        temperature: 0,
        response_format: {
          type: 'json_schema',
          json_schema: { schema: { anyOf: labels.map((label) => ({ const: label })) } },
        },
      };
      // as JSON strings, so that the grammar's greedy walk meets the same places where labels part
      const quoted = await ask(content, { guided_choice: labels.map((label) => JSON.stringify(label)) });
      const byGrammar = await ask(content, { ...asked, guided_choice: undefined });
      expect(quoted.choices[0].message.content).toBe(byGrammar.choices[0].message.content);
      expect(labels).toContain(choices[0].message.content);
    }
  });

  it('may be a schema that lists texts', async () => {
    const schema = { enum: labels };
    const { choices } = await ask('x', {
      guided_choice: undefined,
      response_format: { type: 'json_schema', json_schema: { schema } },
    });
    expect(labels).toContain(JSON.parse(choices[0].message.content));
    expect(choices[0].confidence).toBeGreaterThan(0);
  });
});

describe('drafts from the prompt', () => {
  it('are confirmed where text repeats, and change no answer', async () => {
    const prompt = 'abcabcabc';
    const body = { prompt, temperature: 0, max_tokens: 300, ignore_eos: true };
    type Answer = { choices: { text: string }[]; usage: { completion_tokens_details: Record<string, number> } };
    const alone = (await json('/v1/completions', body)) as Answer;
    // with many in flight nothing is drafted
    const [first] = (await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        json('/v1/completions', i === 0 ? body : { ...body, prompt: `${i}${prompt}` }),
      ),
    )) as Answer[];
    expect(alone.usage.completion_tokens_details.accepted_prediction_tokens).toBeGreaterThan(0);
    expect(first.choices[0].text).toBe(alone.choices[0].text);
  });
});

describe('embeddings', () => {
  it('have length one, are the same again, and differ with the text', async () => {
    const { data, usage } = await server.client.embeddings.create({ model: 'tiny', input: ['one', 'two', 'one'] });
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
    const [a, b, c] = data.map(({ embedding }) => embedding);
    const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    expect(dot(a, a)).toBeCloseTo(1, 5);
    expect(dot(a, c)).toBeCloseTo(1, 5);
    expect(dot(a, b)).toBeLessThan(0.999);
    expect(usage.prompt_tokens).toBe(9);
  });

  it('as numbers equal those in base64', async () => {
    const ask = (encoding_format: 'float' | 'base64') =>
      server.client.embeddings.create({ model: 'tiny', input: 'same', encoding_format });
    const numbers = (await ask('float')).data[0].embedding;
    const bytes = Buffer.from((await ask('base64')).data[0].embedding as unknown as string, 'base64');
    expect(Array.from(new Float32Array(new Uint8Array(bytes).buffer))).toEqual(numbers);
  });

  it('of nothing or of too much are refused', async () => {
    expect((await server.post('/v1/embeddings', { input: '' })).status).toBe(400);
    const long = await server.post('/v1/embeddings', { input: 'x'.repeat(5000) });
    expect(await long.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
  });

  it('and token counts of what no context could hold are refused before they are counted', async () => {
    const huge = 'x'.repeat(64 * 4096 + 1);
    const messages = [{ role: 'user', content: huge }];
    for (const [path, body] of [
      ['/v1/embeddings', { input: ['short', huge] }],
      ['/tokenize', { content: huge }],
      ['/tokenize', { messages }],
    ] as const) {
      const response = await server.post(path, body);
      expect([response.status, ((await response.json()) as { error: { message: string } }).error.message]).toEqual([
        400,
        expect.stringContaining('send it in parts'),
      ]);
    }
  });
});

describe('token ids', () => {
  it('go there and back', async () => {
    const { tokens, count } = (await json('/tokenize', { content: 'thé 退' })) as { tokens: number[]; count: number };
    expect(count).toBe(tokens.length);
    expect(await json('/detokenize', { tokens })).toMatchObject({ content: 'thé 退' });
  });

  it('of a conversation are those of the prompt', async () => {
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const { count } = await json('/tokenize', { messages });
    const answer = await server.client.chat.completions.create({ model: 'tiny', messages, max_tokens: 1 });
    expect(count).toBe(answer.usage!.prompt_tokens);
  });

  it('need a text', async () => {
    expect((await server.post('/tokenize', {})).status).toBe(400);
    expect((await server.post('/detokenize', { tokens: [1e6] })).status).toBe(400);
  });
});

it('metrics count requests, tokens and time', async () => {
  const text = await (await server.get('/metrics')).text();
  expect(text).toMatch(/cupel_requests_total\{route="\/v1\/chat\/completions",status="200"\} [1-9]/);
  expect(text).toMatch(/cupel_requests_total\{route="\/tokenize",status="400"\} 3/);
  expect(text).toMatch(/cupel_tokens_total\{model="tiny",kind="completion"\} [1-9]/);
  expect(text).toContain('cupel_requests_running{model="tiny"} 0');
  expect(text).toMatch(/cupel_answer_seconds_count\{model="tiny"\} [1-9]/);
});
