// Fetches a file in pieces that survive interruption: appended to a partial file, resumed by range, checked, then renamed.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { diskError, syncPath } from '../base/durable.ts';
import { sha256File } from '../base/hash.ts';
import type { Progress } from '../base/progress.ts';
import { request } from './http.ts';
import { Meter } from './meter.ts';

export interface Download {
  url: string;
  headers?: Record<string, string>;
  /** Where the finished file goes. While unfinished it is `${to}.partial`, which a later call continues. */
  to: string;
  sha256?: string;
  /** Size when it is known; nothing beyond it is read. */
  bytes?: number;
  /** Shown in progress events. */
  label: string;
  progress: Progress;
  signal?: AbortSignal;
  /** Milliseconds until the server begins to answer. */
  timeoutMs?: number;
  /** Milliseconds without a byte after which the connection counts as broken. */
  stallMs?: number;
}

const ATTEMPTS = 5;
const STALL_MS = 30_000;
const MOST_BYTES = 2 ** 40;

/** @throws Error in one sentence; the partial file stays for another attempt unless its content is wrong */
export async function download(job: Download): Promise<void> {
  mkdirSync(dirname(job.to), { recursive: true });
  const partial = `${job.to}.partial`;
  const resumed = sizeOf(partial) > 0;
  await fetchAll(job, partial);
  try {
    await verify(partial, job);
  } catch (error) {
    rmSync(partial, { force: true });
    // the kept beginning may have come from elsewhere: once more from the start
    if (!resumed) throw error;
    await fetchAll(job, partial);
    await verify(partial, job).catch((again) => {
      rmSync(partial, { force: true });
      throw again;
    });
  }
  syncPath(partial);
  renameSync(partial, job.to);
  syncPath(dirname(job.to));
}

/** Tries again where a connection broke, as long as attempts bring something. */
async function fetchAll(job: Download, partial: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const before = sizeOf(partial);
    try {
      if (await fetchRest(job, partial)) return;
      throw new Error(`the connection broke after ${sizeOf(partial)} bytes`);
    } catch (error) {
      job.signal?.throwIfAborted();
      const brought = sizeOf(partial) > before;
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw diskError(error, partial);
      if (error instanceof TooLong) rmSync(partial, { force: true });
      if (!brought || error instanceof TooLong || attempt >= ATTEMPTS) throw error;
      job.progress({ stage: 'pull', message: `${job.label}: ${(error as Error).message}; resuming` });
    }
  }
}

class TooLong extends Error {}

/** Appends what is missing. True when the server says that is all. */
async function fetchRest(job: Download, partial: string): Promise<boolean> {
  const have = sizeOf(partial);
  if (job.bytes !== undefined && have === job.bytes) return true;
  const headers = { ...job.headers, ...(have > 0 ? { range: `bytes=${have}-` } : {}) };
  const response = await request(job.url, { headers, signal: job.signal, timeoutMs: job.timeoutMs });
  const from = response.status === 206 ? rangeStart(response) : 0;
  if (from !== have && from !== 0) throw new Error('answers with another part of the file than asked for');
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  // a compressed body has another length than its content
  const stated = Number.isFinite(length) && !response.headers.has('content-encoding') ? from + length : undefined;
  const total = job.bytes ?? stated;
  await append(response, job, { partial, from, total });
  return total === undefined || sizeOf(partial) === total;
}

async function append(
  response: Response,
  job: Download,
  place: { partial: string; from: number; total: number | undefined },
): Promise<void> {
  const { partial, from, total } = place;
  const limit = total ?? MOST_BYTES;
  const fd = openSync(partial, from === 0 ? 'w' : 'a');
  const meter = new Meter(job.label, job.progress, from, total);
  let at = from;
  try {
    for await (const chunk of withoutStall(response, job)) {
      at += chunk.length;
      if (at > limit) throw new TooLong(`sends more than the ${limit} bytes it should`);
      for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done);
      meter.show(at);
    }
  } finally {
    closeSync(fd);
  }
}

/** The chunks of a body; an error when none comes for a while. */
async function* withoutStall(response: Response, job: Download): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const stallMs = job.stallMs ?? STALL_MS;
  const onAbort = () => void reader.cancel().catch(() => {});
  job.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const stalled = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs);
      });
      const { value, done } = await Promise.race([reader.read(), stalled]).finally(() => clearTimeout(timer));
      job.signal?.throwIfAborted();
      if (done) return;
      yield value;
    }
  } finally {
    job.signal?.removeEventListener('abort', onAbort);
    void reader.cancel().catch(() => {});
  }
}

async function verify(path: string, job: Download): Promise<void> {
  const size = sizeOf(path);
  if (job.bytes !== undefined && size !== job.bytes)
    throw new Error(`sends ${size} bytes where ${job.bytes} are right`);
  if (job.sha256 === undefined) return;
  const actual = await sha256File(path);
  if (actual !== job.sha256) throw new Error(`sends another file (SHA-256 ${actual})`);
}

function rangeStart(response: Response): number {
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (start === undefined) throw new Error('answers a range without saying which');
  return Number(start);
}

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0);
