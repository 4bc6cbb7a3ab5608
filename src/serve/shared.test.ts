// Answers that stand on a common beginning are those that a cache of their own gives.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTinyServer, type TinyServer } from '../../test/tiny-server.ts';

let shared: TinyServer;
/** Too few at once for the shared cache. */
let own: TinyServer;
beforeAll(async () => {
  shared = await startTinyServer({ parallel: 8, contextTokens: 1024 });
  own = await startTinyServer({ parallel: 2, contextTokens: 1024 });
});
afterAll(() => Promise.all([shared.close(), own.close()]));

const beginning = (name: string) => `${name}: the rules of the house, written out at length. `.repeat(8);

async function ask(server: TinyServer, prompt: string, more: object = {}) {
  const body = { model: 'tiny', prompt, temperature: 0, max_tokens: 24, ignore_eos: true, ...more };
  const { choices, usage } = await server.client.completions.create(body);
  return {
    text: choices[0].text,
    tokens: usage!.completion_tokens,
    cached: usage!.prompt_tokens_details!.cached_tokens!,
  };
}

const textsOf = async (server: TinyServer, prompts: string[], more: object = {}) =>
  (await Promise.all(prompts.map((prompt) => ask(server, prompt, more)))).map(({ text }) => text);

it('many at once behind one beginning, with the same probabilities', async () => {
  const prompts = Array.from({ length: 16 }, (_, i) => `${beginning('one')}question ${i * 7919}${'?'.repeat(i)}`);
  const probabilities = (server: TinyServer) =>
    Promise.all(
      prompts.map(async (prompt) => {
        const body = { model: 'tiny', prompt, temperature: 0, max_tokens: 12, logprobs: 1 };
        const { choices } = await server.client.completions.create(body);
        return choices[0].logprobs!.token_logprobs!;
      }),
    );
  const expected = await probabilities(own);
  const firsts = expected.map(([first]) => first);
  expect(Math.max(...firsts) - Math.min(...firsts)).toBeGreaterThan(0.1);
  const found = await probabilities(shared);
  // the library adds up values in half precision where few tokens are evaluated together, in single precision where many are
  const differences = found.flatMap((each, i) => each.map((value, at) => Math.abs(value - expected[i][at])));
  expect(Math.max(...differences)).toBeLessThan(0.03);
  const { cached } = await ask(shared, prompts[3]);
  expect(cached).toBeGreaterThan(300);
});

it('one that grows long goes on in a cache of its own, with all that it has', async () => {
  const prompts = Array.from({ length: 4 }, (_, i) => `${beginning('two')}story ${i}`);
  const long = { max_tokens: 180 };
  const expected = await textsOf(own, prompts, long);
  await textsOf(shared, prompts);
  const answers = await Promise.all(prompts.map((prompt) => ask(shared, prompt, long)));
  expect(answers.map(({ text }) => text)).toEqual(expected);
  expect(answers.map(({ tokens }) => tokens)).toEqual([180, 180, 180, 180]);
});

it('more beginnings than are held, mixed, with callers that leave', async () => {
  const prompts = Array.from({ length: 24 }, (_, i) => `${beginning(`rule ${i % 6}`)}question ${i}`);
  const expected = await textsOf(own, prompts);
  const leaving = AbortSignal.timeout(150);
  const gone = prompts.map((prompt) =>
    shared
      .post('/v1/completions', { model: 'tiny', prompt, max_tokens: 400, ignore_eos: true }, { signal: leaving })
      .catch(() => {}),
  );
  expect(await textsOf(shared, prompts)).toEqual(expected);
  await Promise.all(gone);
  const idle = async () => ((await (await shared.get('/healthz')).json()) as { models: object[] }).models[0];
  await expect.poll(idle, { timeout: 5000 }).toMatchObject({ running: 0, waiting: 0 });
});

it('a longer beginning takes what a shorter one has, and answers the same', async () => {
  const longer = `${beginning('four')}${'and to it belongs a supplement of some length; '.repeat(4)}`;
  const prompts = [
    ...Array.from({ length: 3 }, (_, i) => `${beginning('four')}case ${i}`),
    ...Array.from({ length: 4 }, (_, i) => `${longer}case ${i * 31}`),
  ];
  const found: Awaited<ReturnType<typeof ask>>[] = [];
  for (const prompt of prompts) found.push(await ask(shared, prompt));
  expect(found.map(({ text }) => text)).toEqual(await textsOf(own, prompts));
  const [short, long] = [found[2], found[6]].map(({ cached }) => cached);
  expect(short).toBeGreaterThan(192);
  expect(long).toBeGreaterThan(short + 64);
});

it('labels and seeds', async () => {
  const prompts = Array.from({ length: 6 }, (_, i) => `${beginning('three')}label ${i}`);
  const labels = { guided_choice: ['red', 'redder', 'blue'], ignore_eos: false };
  expect(await textsOf(shared, prompts, labels)).toEqual(await textsOf(own, prompts, labels));
  const drawn = { temperature: 1, seed: 5 };
  expect(await textsOf(shared, prompts, drawn)).toEqual(await textsOf(own, prompts, drawn));
});
