// Starts the server: loads the model, listens, and stops without losing what is in flight.
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { CupelError } from '../base/errors.ts';
import { createApp } from './app.ts';
import type { CascadeSettings } from './cascade/cascade.ts';
import { loadAdapterAs, loadModelAs } from './library.ts';
import { Models } from './models.ts';
import { type Admit, Service } from './service.ts';

export interface ServeOptions {
  /** Path of a GGUF file. */
  model: string;
  host: string;
  /** 0 takes a free one. */
  port: number;
  threads?: number;
  /** Context of each request, in tokens. */
  contextTokens?: number;
  /** Requests decoded at once. */
  parallel?: number;
  /** The name it answers to; the file's name without it. */
  name?: string;
  /** Further models. */
  models?: { path: string; name?: string }[];
  /** LoRA adapters (PEFT folders or GGUF files) that answer under names of their own. */
  adapters?: { path: string; name: string; model?: string }[];
  /** Lets its holder load and drop models and adapters while the server runs; `CUPEL_ADMIN_KEY` without it. */
  adminKey?: string;
  /** Asked before anything is loaded while the server runs; throws what keeps it from being served. Everything is let in without it. */
  admit?: Admit;
  /** A server of one model refuses other names too, with 404; otherwise it answers whatever name it is asked for. */
  exactNames?: boolean;
  /** Requests that may wait before others are refused with 429. */
  queue?: number;
  bodyBytes?: number;
  /** How long `close` waits for requests in flight. */
  drainSeconds?: number;
  /** A teacher behind the student. */
  cascade?: CascadeSettings;
}

export interface RunningServer {
  url: string;
  model: string;
  close(): Promise<void>;
}

const KEEP_ALIVE_MS = 65_000;
const USUAL_QUEUE = 256;
const USUAL_BODY = 8 * 2 ** 20;
const USUAL_DRAIN = 30;

/** @throws CupelError when the model cannot be loaded or the port is taken */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { host, port, threads, contextTokens, parallel, drainSeconds = USUAL_DRAIN } = options;
  const models = new Models({ exactNames: options.exactNames });
  const modelOptions = { threads, contextTokens, parallel };
  const service = new Service(models, {
    limits: { bodyBytes: options.bodyBytes ?? USUAL_BODY, queue: options.queue ?? USUAL_QUEUE },
    adminKey: options.adminKey ?? (process.env.CUPEL_ADMIN_KEY || undefined),
    modelOptions,
    admit: options.admit,
    cascade: options.cascade,
  });
  const server = createAdaptorServer({ fetch: createApp(service).fetch }) as Server;
  try {
    const first = await loadModelAs(models, options.model, { ...modelOptions, name: options.name });
    service.student = first.model;
    for (const { path, name } of options.models ?? []) await loadModelAs(models, path, { ...modelOptions, name });
    for (const { path, name, model } of options.adapters ?? []) await loadAdapterAs(models, { path, name, model });
    // longer than the usual idle time of clients and proxies, so that none asks on a connection that is being closed
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    server.headersTimeout = KEEP_ALIVE_MS + 1000;
    await listen(server, host, port);
    return { url: urlOf(server), model: first.name, close: once(() => stop(server, service, drainSeconds)) };
  } catch (error) {
    await models.close();
    throw error;
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE';
      reject(
        new CupelError(taken ? `port ${port} is taken` : `cannot listen on ${host}:${port}: ${cause.message}`, {
          place: { field: taken ? '--port' : '--host' },
          remedy: 'choose another with --port; 0 takes a free one',
          cause,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  const host = address === '0.0.0.0' || address === '::' ? 'localhost' : family === 'IPv6' ? `[${address}]` : address;
  return `http://${host}:${port}`;
}

async function stop(server: Server, service: Service, drainSeconds: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await service.drain(drainSeconds * 1000);
  // the last bytes of the answers are still on their way
  const late = setTimeout(() => server.closeAllConnections(), 1000);
  server.closeIdleConnections();
  await closed;
  clearTimeout(late);
  await service.models.close();
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}
