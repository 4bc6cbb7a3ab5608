// An OpenAI-compatible upstream for tests and benches: answers at once or as it is told, and remembers what it was asked.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
  /** The connection was cut before the answer was complete. */
  cut: boolean;
}

export interface MockUpstream {
  /** Base URL with `/v1`. */
  url: string;
  asked: Asked[];
  close(): Promise<void>;
}

export type Answer = (asked: Asked, response: ServerResponse) => void | Promise<void>;

/** A server on a free port of the loopback. Without `keep` nothing is remembered. */
export async function mockUpstream(answer: Answer = chat, { keep = true } = {}): Promise<MockUpstream> {
  const all: Asked[] = [];
  const server: Server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url = '', headers } = incoming;
      const asked: Asked = { method, url, headers, body: Buffer.concat(chunks).toString(), cut: false };
      if (keep) all.push(asked);
      response.on('close', () => {
        asked.cut = !response.writableFinished;
      });
      void answer(asked, response);
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked: all,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export const USAGE = {
  prompt_tokens: 20,
  completion_tokens: 5,
  total_tokens: 25,
  prompt_tokens_details: { cached_tokens: 8 },
  completion_tokens_details: { reasoning_tokens: 2 },
};

/** A chat completion, streamed if asked for, which says `echo: ` and the last message. */
export function chat(asked: Asked, response: ServerResponse): void {
  const body = asked.body ? (JSON.parse(asked.body) as Record<string, unknown>) : {};
  const last = (body.messages as { content?: string }[] | undefined)?.at(-1)?.content ?? '';
  const id = `chatcmpl-${++count}`;
  if (body.stream) {
    stream(response, id, ['echo: ', last]);
    return;
  }
  const message = { role: 'assistant', content: `echo: ${last}` };
  json(response, 200, {
    id,
    object: 'chat.completion',
    created: 1,
    model: body.model,
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: USAGE,
  });
}

let count = 0;

export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

/** The bytes of a streamed completion, one string for each event. */
export function events(id: string, words: string[]): string[] {
  const chunk = (delta: object, more: object = {}) =>
    `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: null }], ...more })}\n\n`;
  return [
    chunk({ role: 'assistant', content: '' }),
    ...words.map((content) => chunk({ content })),
    chunk({}, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
    chunk({}, { choices: [], usage: USAGE }),
    'data: [DONE]\n\n',
  ];
}

function stream(response: ServerResponse, id: string, words: string[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const event of events(id, words)) response.write(event);
  response.end();
}
