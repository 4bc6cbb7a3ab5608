// Downloads one file: resumes what is there, shows progress, gives up on silence.
import { createWriteStream, existsSync, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Progress } from '../base/progress.ts';

const SILENCE_MS = 30_000;

export interface Download {
  url: string;
  /** The partial file; bytes that are there are not fetched again. */
  into: string;
  /** Most bytes the file may have. */
  limit: number;
  progress: Progress;
  signal?: AbortSignal;
}

/** Fetches the rest of `url` into `into`. @throws Error when the server refuses, falls silent or sends too much */
export async function download({ url, into, limit, progress, signal }: Download): Promise<void> {
  const have = existsSync(into) ? statSync(into).size : 0;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(new Error(`no data for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: have > 0 ? { range: `bytes=${have}-` } : {},
      signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal,
    });
    if (response.status === 416) return;
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    const start = response.status === 206 ? have : 0;
    const total = start + Number(response.headers.get('content-length') ?? 0);
    const began = performance.now();
    let done = start;
    const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        done += chunk.length;
        if (done > limit) throw new Error(`more than ${limit} bytes`);
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(new Error(`no data for ${SILENCE_MS / 1000} s`)), SILENCE_MS);
        const rate = (done - start) / ((performance.now() - began) / 1000);
        progress({ stage: 'download', done, total, unit: 'bytes', rate, secondsLeft: (total - done) / rate });
        yield chunk;
      }
    };
    const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
    await pipeline(body, counted, createWriteStream(into, { flags: start > 0 ? 'a' : 'w' }));
  } finally {
    clearTimeout(timer);
  }
}
