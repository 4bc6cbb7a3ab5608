// One request to one upstream: connection reuse, the three time limits, cancellation.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Hangup } from './hangup.ts';
import type { Upstream } from './upstream.ts';

export interface TimeLimits {
  /** Milliseconds to connect. */
  connectMs: number;
  /** Milliseconds until the head of the answer comes. */
  firstByteMs: number;
  /** Milliseconds between two pieces of the answer. */
  idleMs: number;
}

export interface UpstreamRequest {
  method: string;
  /** Path below the base URL, without a leading slash. */
  endpoint: string;
  /** `?` and the caller's query, or nothing. */
  search: string;
  headers: OutgoingHttpHeaders;
  /** The caller's own, for an upstream without a key. */
  credentials: OutgoingHttpHeaders;
  /** The body for an upstream, which may call the model otherwise. */
  body: (upstream: Upstream) => Buffer;
  hangup: Hangup;
}

/** The upstream did not answer in time. */
export class TimeoutError extends Error {}

const agents = {
  'http:': new HttpAgent({ keepAlive: true, maxFreeSockets: 1024, scheduling: 'lifo' }),
  'https:': new HttpsAgent({ keepAlive: true, maxFreeSockets: 1024, scheduling: 'lifo' }),
};

/**
 * Resolves with the head of the answer, whatever its status; its body may still fail.
 * A kept-alive connection that the upstream had closed meanwhile is replaced at once.
 * @throws TimeoutError, or the connection's error
 */
export function attempt(request: UpstreamRequest, upstream: Upstream, limits: TimeLimits): Promise<IncomingMessage> {
  const { url } = upstream;
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const body = request.body(upstream);
    const outgoing = send({
      protocol: url.protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      path: upstream.path(request.endpoint, request.search),
      method: request.method,
      headers: headersFor(request, upstream, body),
      agent: agents[url.protocol as 'http:' | 'https:'],
      timeout: Math.max(limits.firstByteMs, limits.idleMs),
    });
    const fail = (what: string) => outgoing.destroy(new TimeoutError(`${upstream.name}: ${what}`));
    const stopWaiting = limitWaiting(outgoing, limits, fail);
    const forget = request.hangup.on(() => outgoing.destroy(new Error('the caller hung up')));
    outgoing.on('timeout', () => fail(`silent for ${limits.idleMs} ms`));
    outgoing.once('response', (answer) => {
      stopWaiting();
      answer.socket.setTimeout(limits.idleMs);
      answer.once('close', forget);
      resolve(answer);
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      stopWaiting();
      forget();
      const stale = outgoing.reusedSocket && error.code === 'ECONNRESET' && !request.hangup.gone;
      if (stale) resolve(attempt(request, upstream, limits));
      else reject(error);
    });
    outgoing.end(body);
  });
}

function headersFor(request: UpstreamRequest, upstream: Upstream, body: Buffer): OutgoingHttpHeaders {
  const headers = { ...request.headers, ...upstream.authorization(request.credentials), host: upstream.url.host };
  const bodiless = body.length === 0 && (request.method === 'GET' || request.method === 'HEAD');
  return bodiless ? headers : { ...headers, 'content-length': body.length };
}

/** Timers for the connection and the head; the returned function stops them. */
function limitWaiting(
  outgoing: ReturnType<typeof httpRequest>,
  limits: TimeLimits,
  fail: (what: string) => void,
): () => void {
  const head = setTimeout(() => fail(`no answer within ${limits.firstByteMs} ms`), limits.firstByteMs);
  let connection: NodeJS.Timeout | undefined;
  outgoing.once('socket', (socket) => {
    if (!socket.connecting) return;
    connection = setTimeout(() => fail(`no connection within ${limits.connectMs} ms`), limits.connectMs);
    socket.once('connect', () => clearTimeout(connection));
  });
  return () => {
    clearTimeout(head);
    clearTimeout(connection);
  };
}
