// Requests with deadlines and limits, credentials taken out of URLs, and failures told in a sentence.

export interface RequestOptions {
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Milliseconds until the answer's head must be there. */
  timeoutMs?: number;
}

const HEAD_TIMEOUT_MS = 15_000;
const PAGE_LIMIT = 64 << 20;

/** A response with status 2xx. The body is not limited in time: `download` watches for stalls. @throws Error in one sentence */
export async function request(url: string, options: RequestOptions = {}): Promise<Response> {
  const { plain, authorization } = splitCredentials(url);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), options.timeoutMs ?? HEAD_TIMEOUT_MS);
  const cancel = () => deadline.abort();
  options.signal?.addEventListener('abort', cancel, { once: true });
  try {
    options.signal?.throwIfAborted();
    const headers = { 'user-agent': 'cupel', ...authorization, ...options.headers };
    const response = await fetch(plain, { headers, redirect: 'follow', signal: deadline.signal });
    if (response.ok) return response;
    await response.body?.cancel();
    throw new Error(`answers ${response.status} ${response.statusText}`.trim());
  } catch (error) {
    options.signal?.throwIfAborted();
    if (deadline.signal.aborted) throw new Error(`no answer within ${(options.timeoutMs ?? HEAD_TIMEOUT_MS) / 1000} s`);
    throw new Error(explain(error), { cause: error });
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', cancel);
  }
}

/** The text of a page, refused above 64 MiB. */
export async function requestText(
  url: string,
  options: RequestOptions = {},
): Promise<{ text: string; type: string; url: string }> {
  const response = await request(url, options);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > PAGE_LIMIT) throw new Error('the page is absurdly long');
    chunks.push(chunk);
  }
  const type = response.headers.get('content-type') ?? '';
  return { text: Buffer.concat(chunks).toString('utf8'), type, url: response.url || url };
}

/** fetch refuses `https://user:secret@host`; indexes behind a login are written so. */
function splitCredentials(url: string): { plain: string; authorization: Record<string, string> } {
  const parsed = new URL(url);
  if (!parsed.username && !parsed.password) return { plain: url, authorization: {} };
  const login = `${decodeURIComponent(parsed.username)}:${decodeURIComponent(parsed.password)}`;
  parsed.username = '';
  parsed.password = '';
  return { plain: parsed.href, authorization: { authorization: `Basic ${Buffer.from(login).toString('base64')}` } };
}

/** A URL that may be shown: without login and query. */
export function showUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return url;
  }
}

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/;

/** A failure of fetch in a sentence, with what can be done about it. */
export function explain(error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  const code = cause?.code ?? '';
  if (CERTIFICATE.test(code)) {
    const bundle = process.env.PIP_CERT ?? process.env.SSL_CERT_FILE ?? 'your-ca.pem';
    return `its certificate is not trusted (${code}); set NODE_EXTRA_CA_CERTS=${bundle}`;
  }
  const proxied = process.env.HTTPS_PROXY ?? process.env.https_proxy;
  const hint =
    proxied && code ? ' (HTTPS_PROXY is set: Node honours it from version 24 on, with NODE_USE_ENV_PROXY=1)' : '';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the host name is not known here${hint}`;
  if (code === 'ECONNREFUSED') return `the connection is refused${hint}`;
  const detail = code || cause?.message;
  return `${(error as Error).message}${detail ? ` (${detail})` : ''}${hint}`;
}
