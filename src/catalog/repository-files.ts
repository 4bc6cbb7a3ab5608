// Lists the files of a model repository, with the identities that the hub or ModelScope states.
import type { Repository } from './entry.ts';
import { explain, requestText } from './http.ts';
import { type Environment, hubEndpoint, modelscopeEndpoint } from './settings.ts';

export interface RepositoryFile {
  name: string;
  bytes: number;
  /** Stated for large files by the hub, for all by ModelScope. */
  sha256?: string;
}

/** Config, tokenizer, template, licence and weights; nothing else of a repository is fetched. */
const WANTED =
  /^(config|generation_config|tokenizer|tokenizer_config|chat_template|special_tokens_map)\.json$|^chat_template\.jinja$|^tokenizer\.model$|^LICEN[CS]E[\w.-]*$|^README\.md$|^[\w.-]+\.safetensors(\.index\.json)?$/;
const TIMEOUT_MS = 6_000;

/** @param failed receives why a place did not answer. Undefined when none did. */
export async function listRepository(
  repository: Repository,
  env: Environment,
  failed: (place: string, reason: string) => void,
  signal?: AbortSignal,
): Promise<RepositoryFile[] | undefined> {
  const places = [{ place: hubEndpoint(env), list: () => listHub(repository, env, signal) }];
  if (repository.modelscope) {
    places.push({ place: modelscopeEndpoint(env), list: () => listModelscope(repository, env, signal) });
  }
  for (const { place, list } of places) {
    try {
      const files = (await list()).filter((file) => WANTED.test(file.name));
      if (files.some((file) => file.name === 'config.json')) return withoutCopies(files);
      failed(place, 'has no config.json in this repository');
    } catch (error) {
      signal?.throwIfAborted();
      failed(place, explain(error));
    }
  }
  return undefined;
}

/** Some repositories carry a second copy of the weights under `consolidated`. */
function withoutCopies(files: RepositoryFile[]): RepositoryFile[] {
  return files.filter((file) => !file.name.startsWith('consolidated'));
}

async function listHub(repository: Repository, env: Environment, signal?: AbortSignal): Promise<RepositoryFile[]> {
  const { listFiles } = await import('@huggingface/hub');
  const files: RepositoryFile[] = [];
  const deadline = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]);
  const listing = listFiles({
    repo: repository.hub,
    revision: repository.revision,
    hubUrl: hubEndpoint(env),
    ...(env.HF_TOKEN ? { accessToken: env.HF_TOKEN } : {}),
    fetch: (input, init) => fetch(input, { ...init, signal: deadline }),
  });
  for await (const { type, path, size, lfs } of listing) {
    if (type === 'file') files.push({ name: path, bytes: lfs?.size ?? size, sha256: lfs?.oid });
  }
  return files;
}

async function listModelscope(
  repository: Repository,
  env: Environment,
  signal?: AbortSignal,
): Promise<RepositoryFile[]> {
  const revision = repository.revision === 'main' ? 'master' : repository.revision;
  const url = `${modelscopeEndpoint(env)}/api/v1/models/${repository.modelscope}/repo/files?Revision=${revision}&Recursive=true`;
  const { text } = await requestText(url, { timeoutMs: TIMEOUT_MS, signal });
  const files = (JSON.parse(text) as { Data?: { Files?: unknown } }).Data?.Files;
  if (!Array.isArray(files)) throw new Error('its answer has no list of files');
  return files.flatMap((file: { Path?: unknown; Size?: unknown; Sha256?: unknown; Type?: unknown }) => {
    if (file?.Type === 'tree' || typeof file?.Path !== 'string' || !Number.isSafeInteger(file.Size)) return [];
    const sha256 = typeof file.Sha256 === 'string' && /^[0-9a-f]{64}$/.test(file.Sha256) ? file.Sha256 : undefined;
    return [{ name: file.Path, bytes: file.Size as number, sha256 }];
  });
}
