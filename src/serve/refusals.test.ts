// What the server refuses, and how it says so.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTinyServer, type TinyServer } from '../../test/tiny-server.ts';

let server: TinyServer;
beforeAll(async () => {
  server = await startTinyServer({ bodyBytes: 20_000, exactNames: true });
});
afterAll(() => server.close());

const messages = [{ role: 'user', content: 'hi' }];
const CHAT = '/v1/chat/completions';
const TEXT = '/v1/completions';

const cases: [name: string, path: string, body: unknown, status: number, param: string | null, code: string][] = [
  ['not JSON', CHAT, '{"messages": [', 400, null, 'invalid_json'],
  ['nothing', CHAT, '', 400, null, 'invalid_json'],
  ['a list', CHAT, [], 400, null, 'invalid_type'],
  ['no messages', CHAT, {}, 400, 'messages', 'missing_required_parameter'],
  ['empty messages', CHAT, { messages: [] }, 400, 'messages', 'invalid_value'],
  ['an unknown role', CHAT, { messages: [{ role: 'boss', content: 'x' }] }, 400, 'messages[0].role', 'invalid_value'],
  [
    'content of a wrong type',
    CHAT,
    { messages: [{ role: 'user', content: 7 }] },
    400,
    'messages[0].content',
    'invalid_value',
  ],
  [
    'a picture',
    CHAT,
    { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
    400,
    'messages[0].content[0].type',
    'unsupported_content',
  ],
  ['text for max_tokens', CHAT, { messages, max_tokens: 'many' }, 400, 'max_tokens', 'invalid_type'],
  ['no tokens at all', CHAT, { messages, max_tokens: 0 }, 400, 'max_tokens', 'invalid_value'],
  ['too high a temperature', CHAT, { messages, temperature: 3 }, 400, 'temperature', 'invalid_value'],
  ['a negative top_p', CHAT, { messages, top_p: -0.1 }, 400, 'top_p', 'invalid_value'],
  ['too many choices', CHAT, { messages, n: 99 }, 400, 'n', 'invalid_value'],
  ['stop of numbers', CHAT, { messages, stop: [1] }, 400, 'stop[0]', 'invalid_type'],
  ['top_logprobs alone', CHAT, { messages, top_logprobs: 3 }, 400, 'top_logprobs', 'invalid_value'],
  ['a model that is not there', CHAT, { messages, model: 'gpt-9' }, 404, 'model', 'model_not_found'],
  ['no prompt', TEXT, {}, 400, 'prompt', 'missing_required_parameter'],
  ['a prompt of wrong type', TEXT, { prompt: { a: 1 } }, 400, 'prompt', 'invalid_value'],
  ['a token outside the vocabulary', TEXT, { prompt: [1, 99999] }, 400, 'prompt', 'invalid_value'],
  ['echo', TEXT, { prompt: 'x', echo: true }, 400, 'echo', 'invalid_value'],
  ['a prompt longer than the context', TEXT, { prompt: 'y'.repeat(600) }, 400, 'prompt', 'context_length_exceeded'],
  [
    'messages longer than the context',
    CHAT,
    { messages: [{ role: 'user', content: 'z'.repeat(600) }] },
    400,
    'messages',
    'context_length_exceeded',
  ],
  ['a body larger than a socket holds', TEXT, { prompt: 'y'.repeat(150_000) }, 413, null, 'request_too_large'],
  ['brackets without end', CHAT, '['.repeat(10_000), 400, null, 'invalid_json'],
  [
    'a schema that refers to nothing but itself',
    CHAT,
    { messages, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { $ref: '#' } } } },
    400,
    'response_format',
    'invalid_grammar',
  ],
  ['an input outside the vocabulary', '/v1/embeddings', { input: [99999] }, 400, 'input', 'invalid_value'],
  ['a too long input', '/v1/embeddings', { input: 'y'.repeat(600) }, 400, 'input', 'context_length_exceeded'],
  ['a body larger than allowed', TEXT, { prompt: 'y'.repeat(30_000) }, 413, null, 'request_too_large'],
];

describe('with an error of the API', () => {
  it.each(cases)('%s', async (_, path, body, status, param, code) => {
    const response = await server.post(path, body);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect({ status: response.status, param: error.param, code: error.code }).toEqual({ status, param, code });
    expect(error.type).toBe('invalid_request_error');
    expect(error.message).toMatch(/\w{3}/);
  });

  it('a stream that cannot begin', async () => {
    const response = await server.post(TEXT, { prompt: 'y'.repeat(600), stream: true });
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toContain('application/json');
  });

  it('a body larger than allowed whose length was not told', async () => {
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 40; i++) controller.enqueue(new TextEncoder().encode(' '.repeat(1000)));
        controller.close();
      },
    });
    const response = await server.post(TEXT, '', { body, duplex: 'half' } as RequestInit);
    expect(response.status).toBe(413);
  });

  it('a wrong address and a wrong method', async () => {
    expect((await server.get('/v1/nothing')).status).toBe(404);
    const response = await server.get(CHAT);
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
  });
});

it("OpenAI's client throws its own errors", async () => {
  const ask = (body: object) => server.client.chat.completions.create({ model: 'tiny', messages, ...body } as never);
  await expect(ask({ temperature: 9 })).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  await expect(ask({ model: 'none' })).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

it('goes on answering afterwards', async () => {
  const answer = await server.client.chat.completions.create({ model: 'tiny', messages, max_tokens: 3 } as never);
  expect(answer.choices).toHaveLength(1);
});
