// Files of a data set on the hub or ModelScope, `hf://datasets/OWNER/NAME[@REVISION][/PATH]`, kept in the cache.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { type Progress, silent } from '../base/progress.ts';
import { download } from './download.ts';
import { explain, requestText, showUrl } from './http.ts';
import { cacheFolder, type Environment, hubEndpoint, modelscopeEndpoint } from './settings.ts';

export interface DatasetReference {
  owner: string;
  name: string;
  revision: string;
  /** One file of it, or ''. */
  path: string;
}

/** Undefined for text that is no such reference. */
export function datasetReference(text: string): DatasetReference | undefined {
  const match = /^hf:\/\/datasets\/([\w.-]+)\/([\w.-]+)(?:@([\w.-]+))?(?:\/(.+))?$/.exec(text);
  if (!match || [match[1], match[2]].some((part) => /^\.+$/.test(part))) return undefined;
  const [, owner, name, revision = 'main', path = ''] = match;
  return { owner, name, revision, path };
}

interface Fetching {
  /** Of all files, those to have. */
  choose: (names: readonly string[]) => readonly string[];
  progress?: Progress;
  signal?: AbortSignal;
  /** The process's own unless given. */
  env?: Environment;
}

interface RemoteFile {
  name: string;
  bytes: number;
  sha256?: string;
}

interface Place {
  root: string;
  list: () => Promise<RemoteFile[]>;
  url: (name: string) => string;
  headers: Record<string, string>;
}

const TIMEOUT_MS = 6_000;
/** Tells that all chosen files are there. */
const COMPLETE = '.complete';

/**
 * Fetches the chosen files from the first place that has them, under their own names.
 * @returns the folder that holds them
 * @throws CupelError with what was tried, and where to put files by hand
 */
export async function fetchDataset(
  reference: DatasetReference,
  { choose, progress = silent, signal, env = process.env }: Fetching,
): Promise<string> {
  const { owner, name, revision, path } = reference;
  const folder = join(cacheFolder(env), 'datasets', `${owner}--${name}`, revision);
  const tried: string[] = [];
  for (const place of placesOf(reference, env, signal)) {
    try {
      const files = (await place.list()).filter(isSafe);
      const chosen = path === '' ? choose(files.map((file) => file.name)) : [path];
      const wanted = files.filter((file) => chosen.includes(file.name));
      if (wanted.length === 0) throw new Error(`none of its ${files.length} files is one of the task's`);
      for (const { name: file, bytes, sha256 } of wanted) {
        const to = join(folder, file);
        if (existsSync(to) && statSync(to).size === bytes) continue;
        const { headers } = place;
        await download({ url: place.url(file), headers, to, sha256, bytes, label: file, progress, signal });
      }
      writeFileSync(join(folder, COMPLETE), chosen.join('\n'));
      return folder;
    } catch (error) {
      signal?.throwIfAborted();
      tried.push(`\n  - ${showUrl(place.root)}: ${explain(error)}`);
    }
  }
  // without the internet, what was fetched as a whole before is good; half a data set is not
  if (existsSync(join(folder, COMPLETE))) return folder;
  throw new CupelError(`the data set ${owner}/${name} could not be fetched from anywhere${tried.join('')}`, {
    remedy: `fetch it elsewhere and give its folder; or point HF_ENDPOINT or MODELSCOPE_ENDPOINT at a mirror you can reach`,
  });
}

/** A name from outside must not lead out of the cache. */
function isSafe({ name }: RemoteFile): boolean {
  return !name.startsWith('/') && !name.includes('\\') && !name.split('/').includes('..');
}

function placesOf({ owner, name, revision }: DatasetReference, env: Environment, signal?: AbortSignal): Place[] {
  const id = `${owner}/${name}`;
  const hub = hubEndpoint(env);
  const modelscope = modelscopeEndpoint(env);
  const branch = revision === 'main' ? 'master' : revision;
  const json = async (url: string, headers = {}) =>
    JSON.parse((await requestText(url, { headers, timeoutMs: TIMEOUT_MS, signal })).text) as unknown;
  const headers: Record<string, string> = env.HF_TOKEN ? { authorization: `Bearer ${env.HF_TOKEN}` } : {};
  return [
    {
      root: `${hub}/datasets/${id}`,
      list: async () => hubFiles(await json(`${hub}/api/datasets/${id}/tree/${revision}?recursive=true`, headers)),
      url: (file) => `${hub}/datasets/${id}/resolve/${revision}/${encoded(file)}`,
      headers,
    },
    {
      root: `${modelscope}/datasets/${id}`,
      list: async () =>
        modelscopeFiles(
          await json(`${modelscope}/api/v1/datasets/${id}/repo/tree?Revision=${branch}&Recursive=True&PageSize=1000`),
        ),
      url: (file) => `${modelscope}/datasets/${id}/resolve/${branch}/${encoded(file)}`,
      headers: {},
    },
  ];
}

const encoded = (file: string): string => file.split('/').map(encodeURIComponent).join('/');

function hubFiles(answer: unknown): RemoteFile[] {
  if (!Array.isArray(answer)) throw new Error('its answer has no list of files');
  return answer.flatMap(
    (file: { type?: string; path?: unknown; size?: unknown; lfs?: { oid?: string; size?: number } }) =>
      file?.type === 'file' && typeof file.path === 'string'
        ? [{ name: file.path, bytes: file.lfs?.size ?? Number(file.size), sha256: file.lfs?.oid }]
        : [],
  );
}

function modelscopeFiles(answer: unknown): RemoteFile[] {
  const files = (answer as { Data?: { Files?: unknown } }).Data?.Files;
  if (!Array.isArray(files)) throw new Error('its answer has no list of files');
  return files.flatMap((file: { Path?: unknown; Size?: unknown; Sha256?: unknown; Type?: unknown }) => {
    if (file?.Type === 'tree' || typeof file?.Path !== 'string' || !Number.isSafeInteger(file.Size)) return [];
    const sha256 = typeof file.Sha256 === 'string' && /^[0-9a-f]{64}$/.test(file.Sha256) ? file.Sha256 : undefined;
    return [{ name: file.Path, bytes: file.Size as number, sha256 }];
  });
}
