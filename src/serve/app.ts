// The routes of the server.
import { type Context, Hono } from 'hono';
import { chatCompletions } from './http/chat.ts';
import { completions } from './http/completions.ts';
import { ApiError, toApiError } from './http/errors.ts';
import { describeModel } from './http/model-list.ts';
import type { Service } from './service.ts';

export function createApp(service: Service): Hono {
  const app = new Hono();
  const post = (path: string, handler: (c: Context, service: Service) => Promise<Response>) =>
    app.post(path, (c) => handler(c, service)).all(path, () => wrongMethod('POST'));
  post('/v1/chat/completions', chatCompletions);
  post('/v1/completions', completions);
  app.get('/v1/models', (c) => c.json({ object: 'list', data: service.models.list().map(describeModel) }));
  app.get('/v1/models/:name{.+}', (c) => c.json(describeModel(service.models.exactly(c.req.param('name')))));
  app.get('/healthz', (c) =>
    service.draining ? c.json({ status: 'stopping' }, 503) : c.json({ status: 'ok', ...health(service) }),
  );
  app.notFound((c) =>
    new ApiError(404, `there is nothing at ${c.req.method} ${c.req.path}`, { code: 'unknown_url' }).response(),
  );
  app.onError((error, c) => {
    const known = toApiError(error, c.req.path.includes('/chat/') ? 'messages' : 'prompt');
    const gone = c.req.raw.signal.aborted;
    if (known.status === 500 && !gone) process.stderr.write(`${error.stack ?? error.message}\n`);
    return known.response();
  });
  return app;
}

function wrongMethod(allow: string): Response {
  return new ApiError(405, `use ${allow}`, { code: 'method_not_allowed', headers: { allow } }).response();
}

function health(service: Service) {
  return {
    models: service.models.list().map((model) => ({ id: model.name, ...service.admissionOf(model).load })),
  };
}
