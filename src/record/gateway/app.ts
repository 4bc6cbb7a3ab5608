// The public side of the gateway: the OpenAI API as applications call it, and feedback.
import type { IncomingMessage } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import { feedbackFrom } from './feedback.ts';
import { forwardedHeaders, labelsOf } from './headers.ts';
import { Problem } from './problem.ts';
import { relay } from './relay.ts';
import { bodyFor, modelOf, parseJson, readBody, targetOf } from './request.ts';
import type { Arrival, Caller, Service } from './service.ts';

type Env = { Bindings: HttpBindings };

/** `/v1/*` goes upstream; `/v1/feedback` is the gateway's own. */
export function gatewayApp(service: Service): Hono<Env> {
  const { metrics, log } = service.parts;
  const app = new Hono<Env>();
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.post('/v1/feedback', (c) => takeFeedback(service, c));
  app.all('/v1/*', (c) => passOn(service, c));
  app.notFound((c) => {
    const problem = new Problem(404, 'unknown_path', `no such path: ${c.req.path}; the API begins with /v1/`);
    return new Response(problem.body, { status: 404, headers: problem.headers });
  });
  app.onError((error) => {
    const problem = error instanceof Problem ? error : new Problem(500, 'internal_error', 'the gateway failed');
    if (!(error instanceof Problem)) log.error({ why: error.message }, 'failed');
    metrics.refused.inc({ code: problem.code });
    return new Response(problem.body, { status: problem.status, headers: problem.headers });
  });
  return app;
}

async function takeFeedback(service: Service, c: Context<Env>): Promise<Response> {
  const { recorder, metrics, maxRequestBytes } = service.parts;
  const { incoming } = c.env;
  const { key } = service.identify(incoming.headers);
  if (key) service.parts.limits.admit(key);
  const bytes = await readBody(incoming, maxRequestBytes);
  const feedback = feedbackFrom(parseJson(bytes, undefined), key?.id ?? null);
  await recorder.feedback(feedback);
  metrics.feedback.inc();
  return c.json({ id: feedback.id, object: 'cupel.feedback' }, 201);
}

async function passOn(service: Service, c: Context<Env>): Promise<Response> {
  const { metrics, maxRequestBytes } = service.parts;
  const { incoming, outgoing } = c.env;
  const caller = service.identify(incoming.headers);
  const target = targetOf(incoming.url ?? '');
  const body = await readBody(incoming, maxRequestBytes);
  const json = parseJson(body, incoming.headers['content-type']);
  const model = modelOf(json);
  service.admit(caller.key, incoming.method === 'POST' ? model : null);
  const labels = labelsOf(incoming.headers, json);
  const span = incoming.method === 'POST' ? begin(service, target.endpoint, incoming) : undefined;
  const arrival = service.arrive(target.endpoint, model, labels, caller, span);
  metrics.inFlight.inc();
  // an error inside must not become a second answer
  outgoing.on('error', () => {});
  try {
    await exchange(service, c, arrival, caller, { ...target, body, json });
  } finally {
    metrics.inFlight.dec();
  }
  return RESPONSE_ALREADY_SENT;
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
  c: Context<Env>,
  arrival: Arrival,
  caller: Caller,
  sent: Sent,
): Promise<void> {
  const { recorder, upstreams, policy } = service.parts;
  const { incoming, outgoing } = c.env;
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
      authorization: caller.authorization,
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
