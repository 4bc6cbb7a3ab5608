// Which headers cross the gateway, and what the gateway's own say: tags and the user.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { isGatewayKey } from './keys.ts';

/** Of one connection only (RFC 9110, 7.6.1), or set anew by the gateway. */
const HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const NOT_FORWARDED = new Set([
  ...HOP,
  'host',
  'content-length',
  'authorization',
  'api-key',
  'expect',
  'accept-encoding',
]);

/** Names after `x-cupel-tag-`, and the list in `x-cupel-tags: team=support,stage=live`. */
const TAG_PREFIX = 'x-cupel-tag-';

export interface Labels {
  user: string | null;
  tags: Record<string, string>;
}

/** The caller's headers for the upstream, without a key of this gateway in any. The answer is asked for uncompressed, because it is recorded. */
export function forwardedHeaders(incoming: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((incoming.connection ?? '').toLowerCase().split(/\s*,\s*/));
  const result: OutgoingHttpHeaders = { 'accept-encoding': 'identity' };
  for (const [name, value] of Object.entries(incoming)) {
    const ours = NOT_FORWARDED.has(name) || named.has(name) || name.startsWith('x-cupel-');
    if (value !== undefined && !ours && !isGatewayKey(text(value))) result[name] = value;
  }
  return result;
}

/** The upstream's headers for the caller, in their order and spelling: name, value, name, value, … */
export function answeredHeaders(raw: readonly string[]): string[] {
  const result: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (!HOP.has(raw[i].toLowerCase())) result.push(raw[i], raw[i + 1]);
  }
  return result;
}

/** Tags and user from headers; the user also from the body's `user`, as OpenAI's API has it. */
export function labelsOf(incoming: IncomingHttpHeaders, body: unknown): Labels {
  const tags: Record<string, string> = {};
  for (const pair of text(incoming['x-cupel-tags']).split(',')) {
    const at = pair.indexOf('=');
    if (at > 0) tags[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  for (const [name, value] of Object.entries(incoming)) {
    if (name.startsWith(TAG_PREFIX) && name.length > TAG_PREFIX.length)
      tags[name.slice(TAG_PREFIX.length)] = text(value);
  }
  const named = body !== null && typeof body === 'object' ? (body as { user?: unknown }).user : undefined;
  const user = text(incoming['x-cupel-user']) || (typeof named === 'string' ? named : '');
  return { user: user || null, tags };
}

function text(value: string | string[] | undefined): string {
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}
