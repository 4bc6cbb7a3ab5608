// Reads a caller's request: the path below the base URL and the body, both within limits.
import type { IncomingMessage } from 'node:http';
import type { Upstream } from '../proxy/upstream.ts';
import { Problem } from './problem.ts';

/** The target of a request without the scheme and host that a client behind a proxy may put before it. */
export function originForm(url: string): string {
  return url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '');
}

export function pathOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? url : url.slice(0, at);
}

/** Path below `/v1/` and the query as they were sent. @throws Problem for a path that leaves the base URL */
export function targetOf(url: string): { endpoint: string; search: string } {
  const path = pathOf(url);
  const endpoint = path.replace(/^\/v1\//, '');
  const climbs = /(^|\/|%2f)(\.|%2e){1,2}(\/|%2f|$)/i.test(endpoint) || /[\\\0]/.test(endpoint);
  if (climbs) throw new Problem(400, 'invalid_path', 'the path may not contain . or ..');
  return { endpoint, search: url.slice(path.length) };
}

/** @throws Problem 413 beyond `limit` bytes; 400 when the caller stops in the middle */
export async function readBody(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  const tooLarge = () => new Problem(413, 'request_too_large', `the request has more than ${limit} bytes`);
  if (Number(incoming.headers['content-length'] ?? 0) > limit) throw tooLarge();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    incoming.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        chunks.length = 0;
        incoming.removeAllListeners('data');
        reject(tooLarge());
      } else chunks.push(chunk);
    });
    incoming.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    const cut = () => reject(new Problem(400, 'incomplete_request', 'the request ended before its body was complete'));
    incoming.on('error', cut);
    incoming.on('aborted', cut);
  });
}

/** A JSON body's value; undefined for anything else, which is passed on but not understood. */
export function parseJson(body: Buffer, contentType: string | undefined): unknown {
  if (body.length === 0 || (contentType !== undefined && !/json/i.test(contentType))) return undefined;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The body for an upstream: the caller's bytes, or with the model's name replaced where the upstream calls it otherwise. */
export function bodyFor(bytes: Buffer, json: unknown): (upstream: Upstream) => Buffer {
  return (upstream) => {
    if (upstream.model === undefined || json === null || typeof json !== 'object') return bytes;
    return Buffer.from(JSON.stringify({ ...json, model: upstream.model }));
  };
}

export function modelOf(json: unknown): string | null {
  const model = json !== null && typeof json === 'object' ? (json as { model?: unknown }).model : undefined;
  return typeof model === 'string' ? model : null;
}
