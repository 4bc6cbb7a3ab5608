// The two loads, the same for every server: long stories at a given concurrency, and classification behind one long system prompt.
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';

export interface LoadResult {
  seconds: number;
  requests: number;
  tokens: number;
  /** Milliseconds until the first token, sorted. */
  firstToken: number[];
}

/** Generation: `concurrency` prompts of 64 tokens at once, 128 tokens each, as lab's completions_load does. */
export function stories(url: string, concurrency: number, tokens = 128): Promise<LoadResult> {
  const bodies = Array.from({ length: concurrency }, (_, i) => ({
    model: 'm',
    prompt: `${'Write a long story about a dog. '.repeat(8)}${i}`,
    max_tokens: tokens,
    temperature: 0,
    ignore_eos: true,
  }));
  return load(`${url}/v1/completions`, bodies, concurrency);
}

/** Messages of the support desk behind its guideline, written out to about 600 tokens; each answer a line of JSON. */
export function classification(url: string, requests: number, concurrency: number): Promise<LoadResult> {
  const file = new URL('../../examples/support-desk/test.jsonl', import.meta.url);
  const rows = readFileSync(file, 'utf8').trim().split('\n').slice(0, requests);
  const bodies = rows.map((row) => {
    const [system, user] = (JSON.parse(row) as { messages: { role: string; content: string }[] }).messages;
    const content = `${system.content}\n\n${system.content}\n\n${system.content}`;
    return { model: 'm', messages: [{ role: 'system', content }, user], max_tokens: 16, temperature: 0 };
  });
  return load(`${url}/v1/chat/completions`, bodies, concurrency);
}

async function load(url: string, bodies: object[], concurrency: number): Promise<LoadResult> {
  const firstToken: number[] = [];
  let next = 0;
  let tokens = 0;
  const started = performance.now();
  const worker = async () => {
    while (next < bodies.length) {
      const answer = await ask(url, bodies[next++]);
      firstToken.push(answer.firstToken);
      tokens += answer.tokens;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const seconds = (performance.now() - started) / 1000;
  return { seconds, requests: bodies.length, tokens, firstToken: firstToken.sort((a, b) => a - b) };
}

/** Each on a connection of its own: llama-server closes idle ones without a word, or leaves what comes on them lying. */
async function ask(url: string, body: object): Promise<{ firstToken: number; tokens: number }> {
  const started = performance.now();
  const response = await post(url, JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }));
  response.setEncoding('utf8');
  let firstToken = Number.NaN;
  let text = '';
  for await (const part of response) {
    text += part;
    if (Number.isNaN(firstToken) && /"(text|content)":"[^"]/.test(text)) firstToken = performance.now() - started;
  }
  if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${text}`);
  const usage = text.match(/"completion_tokens":(\d+)/g)?.at(-1);
  return { firstToken, tokens: Number(usage?.match(/\d+/)?.[0] ?? 0) };
}

function post(url: string, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    request(url, { method: 'POST', headers, agent: false }, resolve).on('error', reject).end(body);
  });
}
