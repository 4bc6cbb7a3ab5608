// Where requests are sent: an OpenAI-compatible base URL, its key from the environment, and whether it has been answering.
import type { OutgoingHttpHeaders } from 'node:http';
import { CupelError } from '../../base/errors.ts';

export interface UpstreamOptions {
  /** Shown in records, metrics and logs; the host name by default. */
  name?: string;
  /** Base URL as the OpenAI clients take it, e.g. `https://api.deepseek.com/v1`; a query (Azure's `api-version`) is kept. */
  url: string;
  /** Secret sent upstream; without it the caller's own is passed on. */
  key?: string;
  /** Header for the key alone, e.g. `api-key`; without it Azure's hosts get that, all others `Authorization: Bearer …`. */
  header?: string;
  /** Model name sent instead of the caller's, for a second upstream that calls it otherwise. */
  model?: string;
}

/** Azure's own hosts, those of its other clouds, and its API Management. */
const AZURE = /\.(azure\.(com|us|cn)|azure-api\.(net|us|cn))$/;

const REST_AFTER = 5;
const REST_MS = 10_000;

/** An upstream and its recent health: after five failures in a row the other upstream goes first for ten seconds. */
export class Upstream {
  readonly name: string;
  readonly url: URL;
  readonly model: string | undefined;
  readonly hasKey: boolean;
  #key: string | undefined;
  #header: string | undefined;
  #failures = 0;
  #restUntil = 0;

  /** @throws CupelError when the URL is not http or https */
  constructor(options: UpstreamOptions) {
    this.url = parseUrl(options.url);
    this.name = options.name ?? this.url.host;
    this.model = options.model;
    this.#key = options.key || undefined;
    this.#header = options.header?.toLowerCase() ?? (AZURE.test(this.url.hostname) ? 'api-key' : undefined);
    this.hasKey = this.#key !== undefined;
  }

  /** Path and query for an endpoint below the base URL; what the caller's query names too, the base's own leaves to it. */
  path(endpoint: string, search: string): string {
    const [own, given] = [this.url.search, search].map((part) => part.slice(1).split('&').filter(Boolean));
    const named = new Set(given.map(nameIn));
    const query = [...own.filter((pair) => !named.has(nameIn(pair))), ...given];
    return `${this.url.pathname.replace(/\/+$/, '')}/${endpoint}${query.length > 0 ? `?${query.join('&')}` : ''}`;
  }

  /** The upstream's key, or the caller's own credentials. */
  authorization(caller: OutgoingHttpHeaders): OutgoingHttpHeaders {
    if (this.#key === undefined) return caller;
    return this.#header ? { [this.#header]: this.#key } : { authorization: `Bearer ${this.#key}` };
  }

  get resting(): boolean {
    return Date.now() < this.#restUntil;
  }

  answered(): void {
    this.#failures = 0;
    this.#restUntil = 0;
  }

  failed(): void {
    if (++this.#failures >= REST_AFTER) this.#restUntil = Date.now() + REST_MS;
  }
}

/** The name of a pair of a query, as it is written. */
function nameIn(pair: string): string {
  return pair.split('=', 1)[0];
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new CupelError(`not an http or https URL: ${text}`, {
    place: { field: 'upstream' },
    remedy: 'give the base URL of an OpenAI-compatible API, e.g. https://api.openai.com/v1',
    exitCode: 2,
  });
}
