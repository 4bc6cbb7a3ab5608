// The public side of the gateway: the OpenAI API as applications call it, and feedback.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { feedbackFrom } from './feedback.ts';
import { forwardedHeaders, labelsOf } from './headers.ts';
import { Problem } from './problem.ts';
import { relay } from './relay.ts';
import { bodyFor, modelOf, originForm, parseJson, pathOf, readBody, targetOf } from './request.ts';
import type { Arrival, Caller, Service } from './service.ts';

/** `/v1/*` goes upstream; `/v1/feedback` is the gateway's own. Plain Node: a router would be the dearest part of it. */
export function gatewayListener(service: Service): RequestListener {
  return (incoming, outgoing) => {
    // an error inside must not become a second answer
    outgoing.on('error', () => {});
    answer(service, incoming, outgoing).catch((error: Error) => refuse(service, outgoing, error));
  };
}

async function answer(service: Service, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { method } = incoming;
  const url = originForm(incoming.url ?? '');
  const path = pathOf(url);
  if (path === '/v1/feedback' && method !== 'POST')
    throw new Problem(405, 'method_not_allowed', 'feedback is sent with POST');
  if (path === '/v1/feedback') return takeFeedback(service, incoming, outgoing);
  if (path.startsWith('/v1/')) return passOn(service, url, incoming, outgoing);
  if (path === '/healthz' && (method === 'GET' || method === 'HEAD')) return send(outgoing, 200, { status: 'ok' });
  throw new Problem(404, 'unknown_path', `no such path: ${path}; the API begins with /v1/`);
}

function refuse({ parts: { metrics, log } }: Service, outgoing: ServerResponse, error: Error): void {
  const problem = error instanceof Problem ? error : new Problem(500, 'internal_error', 'the gateway failed');
  if (!(error instanceof Problem)) log.error({ why: error.message }, 'failed');
  metrics.refused.inc({ code: problem.code });
  if (outgoing.headersSent) outgoing.destroy();
  else outgoing.writeHead(problem.status, problem.headers).end(problem.body);
}

function send(outgoing: ServerResponse, status: number, body: object): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function takeFeedback(service: Service, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const { recorder, metrics, maxRequestBytes } = service.parts;
  const { key } = service.identify(incoming.headers);
  if (key) service.parts.limits.admit(key);
  const bytes = await readBody(incoming, maxRequestBytes);
  const feedback = feedbackFrom(parseJson(bytes, undefined), key?.id ?? null);
  await recorder.feedback(feedback);
  metrics.feedback.inc();
  send(outgoing, 201, { id: feedback.id, object: 'cupel.feedback' });
}

async function passOn(
  service: Service,
  url: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { metrics, maxRequestBytes } = service.parts;
  const caller = service.identify(incoming.headers);
  const target = targetOf(url);
  const body = await readBody(incoming, maxRequestBytes);
  const json = parseJson(body, incoming.headers['content-type']);
  const model = modelOf(json);
  service.admit(caller.key, incoming.method === 'POST' ? model : null);
  const labels = labelsOf(incoming.headers, json);
  const span = incoming.method === 'POST' ? begin(service, target.endpoint, incoming) : undefined;
  const arrival = service.arrive(target.endpoint, model, labels, caller, span);
  metrics.inFlight.inc();
  try {
    await exchange(service, incoming, outgoing, arrival, caller, { ...target, body, json });
  } finally {
    metrics.inFlight.dec();
  }
}

function begin(service: Service, endpoint: string, incoming: IncomingMessage) {
  const { traceparent } = incoming.headers;
  return service.parts.tracing?.begin(endpoint, typeof traceparent === 'string' ? traceparent : undefined);
}

interface Sent {
  endpoint: string;
  search: string;
  body: Buffer;
  json: unknown;
}

async function exchange(
  service: Service,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  arrival: Arrival,
  caller: Caller,
  sent: Sent,
): Promise<void> {
  const { recorder, upstreams, policy } = service.parts;
  const headers = forwardedHeaders(incoming.headers);
  if (arrival.span) headers.traceparent = arrival.span.traceparent;
  // lists of models and the like are no exchanges
  const recorded = incoming.method === 'POST';
  const type = incoming.headers['content-type'];
  const seen = sent.json === undefined ? { content_type: type ?? null, bytes: sent.body.length } : sent.json;
  let request = { json: 'null', counts: {} };
  await relay({
    request: {
      method: incoming.method ?? 'POST',
      endpoint: sent.endpoint,
      search: sent.search,
      headers,
      credentials: caller.credentials,
      body: bodyFor(sent.body, sent.json),
    },
    upstreams,
    policy,
    outgoing,
    headers: recorded ? { 'x-cupel-exchange': arrival.id } : {},
    meanwhile: () => {
      if (recorded) request = recorder.prepare(seen);
    },
    finish: (ending) => (recorded ? service.finish(arrival, request, ending) : true),
  });
}
