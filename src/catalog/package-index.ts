// Finds a wheel on a Python package index (PEP 503 and PEP 691), which air-gapped sites often mirror.

export interface Wheel {
  url: string;
  sha256?: string;
}

const TIMEOUT_MS = 20_000;
const LARGEST_PAGE = 32 << 20;

/** Indexes as pip would take them from the environment. */
export function packageIndexes(environment: NodeJS.ProcessEnv = process.env): string[] {
  const extra = (environment.PIP_EXTRA_INDEX_URL ?? '').split(/\s+/).filter(Boolean);
  return [environment.PIP_INDEX_URL || 'https://pypi.org/simple', ...extra];
}

/** @throws Error when the index does not answer or has no such wheel */
export async function findWheel(index: string, project: string, version: string, signal?: AbortSignal): Promise<Wheel> {
  const page = `${index.replace(/\/+$/, '')}/${project}/`;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(page, {
    headers: { accept: 'application/vnd.pypi.simple.v1+json, text/html;q=0.5' },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  if (!response.ok) throw new Error(`HTTP ${response.status} from ${page}`);
  const text = await response.text();
  if (text.length > LARGEST_PAGE) throw new Error(`the page ${page} is too large`);
  const json = response.headers.get('content-type')?.includes('json') ?? false;
  const links = json ? jsonLinks(text) : htmlLinks(text);
  const wanted = new RegExp(`^${project.replace(/[-_.]+/g, '[-_.]')}-${version.replaceAll('.', '\\.')}-.*\\.whl$`, 'i');
  const found = links.find(({ name }) => wanted.test(name));
  if (!found) throw new Error(`${page} has no wheel of version ${version}`);
  return { url: new URL(found.url, response.url).href, sha256: found.sha256 };
}

interface Link {
  name: string;
  url: string;
  sha256?: string;
}

function jsonLinks(text: string): Link[] {
  const { files } = JSON.parse(text) as { files: { filename: string; url: string; hashes?: { sha256?: string } }[] };
  return files.map(({ filename, url, hashes }) => ({ name: filename, url, sha256: hashes?.sha256 }));
}

function htmlLinks(text: string): Link[] {
  return [...text.matchAll(/<a\s[^>]*href="([^"]+)"[^>]*>([^<]+)<\/a>/gi)].map(([, href, name]) => {
    const url = href.replaceAll('&amp;', '&');
    return { name: name.trim(), url, sha256: url.match(/#sha256=([0-9a-f]{64})/)?.[1] };
  });
}
