// The administrator's side, on a port and with a token of its own: keys, recordings, deletion, health, metrics.
import { createHash, timingSafeEqual } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Recorder, StoreAwayError } from '../recorder.ts';
import type { ExchangeFilter } from '../store/store.ts';
import { makeKey } from './keys.ts';
import type { Metrics } from './metrics.ts';
import { Problem } from './problem.ts';

export interface AdminParts {
  recorder: Recorder;
  metrics: Metrics;
  token: string;
  /** Called after keys have changed. */
  keysChanged: () => Promise<void>;
}

const NewKeyBody = z.strictObject({
  name: z.string().min(1).max(100),
  requests_per_minute: z.number().int().positive().optional(),
  usd_per_day: z.number().positive().optional(),
});

/** `/healthz` and `/metrics` are open to who reaches the port; everything below `/admin` needs the token. */
export function adminApp(parts: AdminParts): Hono {
  const { recorder, metrics } = parts;
  const app = new Hono();
  app.get('/healthz', async (c) => {
    const status = await recorder.status();
    return c.json({ status: status.connected ? 'ok' : 'degraded', store: status }, 200);
  });
  app.get('/metrics', async (c) =>
    c.body(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType }),
  );
  app.use('/admin/*', async (c, next) => {
    if (!isToken(c.req.header('authorization'), parts.token)) {
      throw new Problem(401, 'invalid_admin_token', 'the administrator token is needed: Authorization: Bearer …');
    }
    await next();
  });
  keyRoutes(app, parts);
  recordingRoutes(app, parts);
  app.onError((error) => {
    const problem = problemOf(error);
    return new Response(problem.body, { status: problem.status, headers: problem.headers });
  });
  return app;
}

function keyRoutes(app: Hono, { recorder, keysChanged }: AdminParts): void {
  app.get('/admin/keys', async (c) => {
    const keys = await recorder.store.keys();
    return c.json({ data: keys.map(({ hash: _, ...key }) => key) });
  });
  app.post('/admin/keys', async (c) => {
    const given = NewKeyBody.parse(await c.req.json());
    const { row, secret } = makeKey({
      name: given.name,
      requestsPerMinute: given.requests_per_minute,
      usdPerDay: given.usd_per_day,
    });
    await recorder.store.addKey(row);
    await keysChanged();
    return c.json({ id: row.id, key: secret }, 201);
  });
  app.delete('/admin/keys/:id', async (c) => {
    const revoked = await recorder.store.revokeKey(c.req.param('id'), new Date().toISOString());
    await keysChanged();
    if (!revoked) throw new Problem(404, 'unknown_key', 'there is no such key, or it was revoked before');
    return c.json({ revoked });
  });
}

function recordingRoutes(app: Hono, { recorder }: AdminParts): void {
  app.get('/admin/status', async (c) => {
    const [status, counts] = await Promise.all([recorder.status(), recorder.store.counts()]);
    return c.json({ ...status, ...counts });
  });
  app.get('/admin/exchanges', async (c) => {
    const { after, limit } = z
      .object({ after: z.string().optional(), limit: z.coerce.number().int().min(1).max(1000).default(200) })
      .parse(c.req.query());
    const filter = recorder.redactLabelsIn(filterOf(c));
    // the first page waits for what is still in the journal
    if (!after) await recorder.settled(SETTLE_MS);
    return c.json({ data: await recorder.store.page({ filter, after, limit }) });
  });
  app.delete('/admin/exchanges', async (c) => {
    const filter = filterOf(c);
    if (Object.values(filter).every((value) => value === undefined)) {
      throw new Problem(400, 'no_condition', 'say what to remove: user, tag, model, since or until');
    }
    // what waits in the journal must go too
    await recorder.settled(SETTLE_MS);
    return c.json({ removed: await recorder.store.remove(recorder.redactLabelsIn(filter)) });
  });
}

const SETTLE_MS = 30_000;

const Moment = z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'not a date');
const Query = z.object({
  since: Moment.optional(),
  until: Moment.optional(),
  model: z.string().min(1).optional(),
  user: z.string().min(1).optional(),
  complete: z.enum(['true', 'false']).optional(),
});

function filterOf(c: Context): ExchangeFilter {
  const { complete, ...query } = Query.parse(c.req.query());
  const pairs = (c.req.queries('tag') ?? []).map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new Problem(400, 'invalid_tag', `a tag is name=value, not "${pair}"`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  const tags = pairs.length > 0 ? { tags: Object.fromEntries(pairs) } : {};
  return { ...query, ...tags, ...(complete === 'true' ? { complete: true } : {}) };
}

function isToken(header: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}

function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreAwayError) return new Problem(503, 'store_away', 'the database is away; try again', 5);
  if (error instanceof SyntaxError) return new Problem(400, 'invalid_json', 'the body is not JSON');
  if (!(error instanceof z.ZodError)) return new Problem(500, 'internal_error', error.message);
  const { path, message } = error.issues[0];
  return new Problem(400, 'invalid_request', path.length > 0 ? `${path.join('.')}: ${message}` : message);
}
