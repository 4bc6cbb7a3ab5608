// Failures as the OpenAI API words them: `{ error: { message, type, param, code } }` with the fitting status.
import type { z } from 'zod';
import { CupelError } from '../../base/errors.ts';
import { EngineError } from '../engine/engine.ts';

type Status = 400 | 401 | 403 | 404 | 405 | 409 | 413 | 429 | 500 | 503;

/** A refusal that is sent to the caller as it is. */
export class ApiError extends Error {
  readonly status: Status;
  readonly param: string | null;
  readonly code: string | null;
  readonly headers: Record<string, string>;

  /** @param options.param the field of the request, as `messages[0].role` */
  constructor(
    status: Status,
    message: string,
    options: { param?: string; code?: string; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.status = status;
    this.param = options.param ?? null;
    this.code = options.code ?? (status === 400 ? 'invalid_value' : null);
    this.headers = options.headers ?? {};
  }

  body(): object {
    const { message, param, code } = this;
    return { error: { message, type: TYPES[this.status], param, code } };
  }

  response(): Response {
    const headers = { 'content-type': 'application/json', ...this.headers };
    return new Response(JSON.stringify(this.body()), { status: this.status, headers });
  }
}

const TYPES: Record<Status, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'invalid_request_error',
  405: 'invalid_request_error',
  409: 'invalid_request_error',
  413: 'invalid_request_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
};

/** Any failure as one the caller may see; what is our own fault stays unexplained. @param input the field a too long text came in */
export function toApiError(error: unknown, input: 'messages' | 'prompt' | 'input' = 'messages'): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof EngineError) {
    const { code, message } = error;
    if (code === 'context_length_exceeded') return new ApiError(400, message, { code, param: input });
    if (code === 'invalid_grammar') return new ApiError(400, message, { code, param: 'response_format' });
    if (code === 'unknown_adapter') return new ApiError(404, message, { code, param: 'model' });
    if (code === 'bad_adapter') return new ApiError(400, message, { code, param: 'path' });
    return new ApiError(500, message, { code });
  }
  if (error instanceof CupelError && error.place.field) {
    return new ApiError(400, error.message, { param: error.place.field, code: 'invalid_value' });
  }
  return new ApiError(500, 'the server failed on this request');
}

/** The first complaint of a schema, with the field written as `messages[0].role`. */
export function fromZod(error: z.ZodError): ApiError {
  const issue = deepest(error.issues[0]);
  const param = issue.path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key)),
    '',
  );
  const missing = issue.input === undefined && param !== '';
  const message = missing ? `missing required parameter: '${param}'` : `invalid '${param}': ${issue.message}`;
  return new ApiError(400, param ? message : `invalid body: ${issue.message}`, {
    param: param || undefined,
    code: missing ? 'missing_required_parameter' : issue.code === 'invalid_type' ? 'invalid_type' : 'invalid_value',
  });
}

/** Of a union, the complaint of the alternative that came furthest. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const inner = issue.errors.map((errors) => deepest(errors[0]));
  const best = inner.reduce((a, b) => (b.path.length > a.path.length ? b : a));
  if (best.path.length === 0) return issue;
  return { ...best, path: [...issue.path, ...best.path] };
}
