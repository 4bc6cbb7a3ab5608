// The routes of the server.
import { type Context, Hono } from 'hono';
import { addAdapter, addModel, drop } from './http/admin.ts';
import { chatCompletions } from './http/chat.ts';
import { completions } from './http/completions.ts';
import { embeddings } from './http/embeddings.ts';
import { ApiError, toApiError } from './http/errors.ts';
import { describeModel } from './http/model-list.ts';
import { detokenizeIds, tokenizeText } from './http/tokenize.ts';
import type { Service } from './service.ts';

type Handler = (c: Context, service: Service) => Promise<Response>;

const POSTS: Record<string, Handler> = {
  '/v1/chat/completions': chatCompletions,
  '/v1/completions': completions,
  '/v1/embeddings': embeddings,
  '/tokenize': tokenizeText,
  '/detokenize': detokenizeIds,
  '/admin/models': addModel,
  '/admin/adapters': addAdapter,
};

export function createApp(service: Service): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    service.metrics.answered(c.req.routePath, c.res.status);
  });
  for (const [path, handler] of Object.entries(POSTS)) {
    app.post(path, (c) => handler(c, service)).all(path, () => wrongMethod('POST'));
  }
  app.delete('/admin/models/:name{.+}', (c) => drop(c, service, 'model', c.req.param('name')));
  app.delete('/admin/adapters/:name{.+}', (c) => drop(c, service, 'adapter', c.req.param('name')));
  app.get('/v1/models', (c) => c.json({ object: 'list', data: service.models.list().map(describeModel) }));
  app.get('/v1/models/:name{.+}', (c) => c.json(describeModel(service.models.exactly(c.req.param('name')))));
  app.get('/healthz', (c) => {
    const models = service.load().map(({ model, ...load }) => ({ id: model, ...load }));
    return service.draining ? c.json({ status: 'stopping', models }, 503) : c.json({ status: 'ok', models });
  });
  app.get('/v1/cascade', (c) => {
    if (!service.cascade) throw new ApiError(404, 'this server has no teacher behind it', { code: 'no_cascade' });
    return c.json(service.cascade.status());
  });
  app.get('/metrics', async (c) =>
    c.text(await service.metrics.registry.metrics(), 200, { 'content-type': service.metrics.registry.contentType }),
  );
  app.notFound((c) =>
    new ApiError(404, `there is nothing at ${c.req.method} ${c.req.path}`, { code: 'unknown_url' }).response(),
  );
  app.onError(refuse);
  return app;
}

function refuse(error: Error, c: Context): Response {
  const known = toApiError(error, inputOf(c.req.path));
  // nobody reads what is written to a caller that hung up
  const gone = c.req.raw.signal.aborted;
  if (known.status === 500 && !gone) process.stderr.write(`${error.stack ?? error.message}\n`);
  return known.response();
}

/** The field that a too long text came in. */
function inputOf(path: string): 'messages' | 'prompt' | 'input' {
  if (path.includes('/chat/')) return 'messages';
  return path.includes('/embeddings') ? 'input' : 'prompt';
}

function wrongMethod(allow: string): Response {
  return new ApiError(405, `use ${allow}`, { code: 'method_not_allowed', headers: { allow } }).response();
}
