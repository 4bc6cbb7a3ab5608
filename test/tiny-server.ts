// A server of the tiny random student, and OpenAI's own client pointed at it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { type ServeOptions, serve } from '../src/serve/serve.ts';
import { writeTinyStudent } from './tiny-student.ts';

export interface TinyServer {
  url: string;
  client: OpenAI;
  folder: string;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  get(path: string): Promise<Response>;
  close(): Promise<void>;
}

/** One thread, because tests share the machine. */
export async function startTinyServer(options: Partial<ServeOptions> = {}): Promise<TinyServer> {
  const folder = mkdtempSync(join(tmpdir(), 'cupel-serve-'));
  const model = join(folder, 'tiny.gguf');
  writeTinyStudent(model);
  const server = await serve({ model, host: '127.0.0.1', port: 0, threads: 1, ...options });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  return {
    url: server.url,
    client,
    folder,
    post: (path, body, init) =>
      fetch(`${server.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
      }),
    get: (path) => fetch(`${server.url}${path}`),
    close: async () => {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
