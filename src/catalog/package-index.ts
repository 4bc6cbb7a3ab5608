// Finds a wheel on a Python package index: the simple API as JSON (PEP 691) or HTML (PEP 503), or a folder of wheels.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { requestText } from './http.ts';
import type { IndexSettings } from './settings.ts';

export interface WheelPlace {
  /** `http:`, `https:` or `file:`. */
  url: string;
  sha256?: string;
  bytes?: number;
}

/** Receives what went wrong at a place, in a sentence. */
export type Failed = (place: string, reason: string) => void;

export interface WheelName {
  package: string;
  version: string;
  /** Python, ABI and platform; without it any. */
  tag?: string;
}

const ACCEPT = 'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1';
const TIMEOUT_MS = 10_000;

/** Every place that has the wheel, folders first. */
export async function* findWheel(
  wheel: WheelName,
  settings: IndexSettings,
  failed: Failed,
  signal?: AbortSignal,
): AsyncGenerator<WheelPlace> {
  for (const place of settings.findLinks) {
    const folder = localFolder(place);
    if (folder !== undefined) yield* wheelsIn(folder, wheel, failed);
    else if (/^https?:/.test(place)) yield* wheelsOf(place, wheel, failed, signal);
  }
  for (const index of settings.indexes) {
    yield* wheelsOf(`${index}/${normalise(wheel.package)}/`, wheel, failed, signal);
  }
}

/** Names are compared as PEP 503 says: case, dots, dashes and underscores do not matter. */
const normalise = (name: string): string => name.toLowerCase().replace(/[-_.]+/g, '-');

function isWheelOf(filename: string, wheel: WheelName): boolean {
  const parts = filename.endsWith('.whl') ? filename.slice(0, -4).split('-') : [];
  const fits = wheel.tag === undefined || parts.slice(-3).join('-') === wheel.tag;
  return parts.length >= 5 && normalise(parts[0]) === normalise(wheel.package) && parts[1] === wheel.version && fits;
}

function localFolder(place: string): string | undefined {
  const path = place.startsWith('file:') ? fileURLToPath(place) : place;
  return existsSync(path) && statSync(path).isDirectory() ? path : undefined;
}

function* wheelsIn(folder: string, wheel: WheelName, failed: Failed): Generator<WheelPlace> {
  const found = readdirSync(folder).filter((filename) => isWheelOf(filename, wheel));
  if (found.length === 0) failed(folder, `has no wheel of ${wheel.package} ${wheel.version}`);
  for (const filename of found) yield { url: pathToFileURL(join(folder, filename)).href };
}

async function* wheelsOf(
  page: string,
  wheel: WheelName,
  failed: Failed,
  signal?: AbortSignal,
): AsyncGenerator<WheelPlace> {
  try {
    const { text, type, url } = await requestText(page, { headers: { accept: ACCEPT }, timeoutMs: TIMEOUT_MS, signal });
    const links = type.includes('json') ? linksInJson(text) : linksInHtml(text);
    const found = links.filter((link) => isWheelOf(link.filename, wheel));
    if (found.length === 0) failed(page, `lists no wheel of ${wheel.package} ${wheel.version}`);
    for (const { href, base, sha256, bytes } of found) {
      const target = new URL(href, new URL(base ?? '', url));
      if (/^https?:$/.test(target.protocol)) yield { url: withLogin(target, page), sha256, bytes };
    }
  } catch (error) {
    signal?.throwIfAborted();
    failed(page, (error as Error).message);
  }
}

/** Files on the host of an index behind a login are behind the same login. */
function withLogin(target: URL, page: string): string {
  const { host, username, password } = new URL(page);
  if (target.host === host && !target.username) [target.username, target.password] = [username, password];
  return target.href;
}

interface IndexLink {
  filename: string;
  href: string;
  /** What `<base>` says, relative to the page. */
  base?: string;
  sha256?: string;
  bytes?: number;
}

function linksInJson(text: string): IndexLink[] {
  const files = (JSON.parse(text) as { files?: unknown }).files;
  if (!Array.isArray(files)) throw new Error('its answer has no list of files');
  return files.flatMap((file: { filename?: unknown; url?: unknown; hashes?: { sha256?: unknown }; size?: unknown }) => {
    if (typeof file?.filename !== 'string' || typeof file.url !== 'string') return [];
    return [{ filename: file.filename, href: file.url, sha256: hashOf(file.hashes?.sha256), bytes: sizeOf(file.size) }];
  });
}

function linksInHtml(text: string): IndexLink[] {
  const base = attribute(/<base\b[^>]*>/i.exec(text)?.[0] ?? '', 'href');
  return [...text.matchAll(/<a\b[^>]*>/gi)].flatMap(([tag]) => {
    const href = attribute(tag, 'href');
    if (href === undefined) return [];
    const [address, fragment = ''] = href.split('#');
    const filename = decodeURIComponent(address.split('?')[0].split('/').pop() ?? '');
    return [{ filename, href: address, base, sha256: hashOf(/sha256=([0-9a-f]+)/.exec(fragment)?.[1]) }];
  });
}

function attribute(tag: string, name: string): string | undefined {
  const match = new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`, 'i').exec(tag);
  return (match?.[1] ?? match?.[2] ?? match?.[3])?.replaceAll('&amp;', '&');
}

const hashOf = (value: unknown): string | undefined =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : undefined;
const sizeOf = (value: unknown): number | undefined => (Number.isSafeInteger(value) ? (value as number) : undefined);
