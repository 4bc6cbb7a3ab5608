// Errors that the gateway itself answers with, in OpenAI's shape, so that clients handle them as they handle the upstream's.

/** Becomes `{"error": {message, type, param, code}}` with a status. */
export class Problem extends Error {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, code: string, message: string, retryAfterSeconds?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.type = TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
    this.retryAfterSeconds = retryAfterSeconds;
  }

  get body(): string {
    const { message, type, code } = this;
    return JSON.stringify({ error: { message, type, param: null, code } });
  }

  get headers(): Record<string, string> {
    const after = this.retryAfterSeconds;
    return {
      'content-type': 'application/json',
      ...(after === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(after))) }),
    };
  }
}

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
};
