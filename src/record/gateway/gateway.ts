// Starts the gateway: recorder, keys, the public and the administrator's server; stops them without losing an answer.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { writeFileDurably } from '../../base/durable.ts';
import { CupelError } from '../../base/errors.ts';
import type { Price } from '../price.ts';
import { DEFAULT_POLICY, type ForwardPolicy } from '../proxy/forward.ts';
import { Upstream, type UpstreamOptions } from '../proxy/upstream.ts';
import { Recorder, type RecorderOptions } from '../recorder.ts';
import { adminApp } from './admin.ts';
import { gatewayListener } from './app.ts';
import { KeyRing } from './keys.ts';
import { Limits } from './limits.ts';
import type { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { type Access, Service } from './service.ts';
import type { Tracing } from './tracing.ts';

export interface GatewayOptions extends Omit<RecorderOptions, 'onStatus'> {
  /** Tried in this order; the second takes over when the first does not answer. */
  upstreams: readonly UpstreamOptions[];
  host?: string;
  /** 0 takes a free one. */
  port?: number;
  adminHost?: string;
  adminPort?: number;
  /** Made and kept in `WORKSPACE/record/admin.json` without one. */
  adminToken?: string;
  policy?: Partial<ForwardPolicy>;
  price: Price;
  log: Log;
  tracing?: Tracing;
  access?: Access;
  maxRequestBytes?: number;
}

export interface Gateway {
  /** Base URL for applications, e.g. `http://127.0.0.1:8787/v1`. */
  url: string;
  adminUrl: string;
  recorder: Recorder;
  /** Finishes what is in flight (up to `graceMs`), then closes everything. */
  close(graceMs?: number): Promise<void>;
}

/** Where a running gateway can be administered; readable by the owner of the workspace only. */
export interface AdminFile {
  url: string;
  token: string;
  pid: number;
}

const KEYS_EVERY_MS = 10_000;

/** How long the start waits for a database that may be away, and for the embedded one, which a busy machine makes slowly. */
const AWAY_MS = 20_000;
const MAKING_MS = 120_000;

/** @throws CupelError when a port is taken, an upstream is malformed or the workspace is in use */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const upstreams = options.upstreams.map((upstream) => new Upstream(upstream));
  const { log } = options;
  const recorder = new Recorder({
    ...options,
    onStatus: ({ connected, problem }) => {
      if (!connected) log.warn({ problem }, 'the database is away; the journal keeps');
      else {
        log.info('the store is connected');
        void refresh().catch(() => {});
      }
    },
  });
  const folder = join(options.workspace, 'record');
  const keys = new KeyRing(join(folder, 'keys.json'));
  const limits = new Limits();
  const metrics = new Metrics(recorder);
  const service = new Service({
    recorder,
    upstreams,
    policy: { ...DEFAULT_POLICY, ...options.policy },
    price: options.price,
    keys,
    limits,
    metrics,
    log,
    tracing: options.tracing,
    access: options.access ?? 'keys-once-made',
    maxRequestBytes: options.maxRequestBytes ?? 20 << 20,
  });
  async function refresh(): Promise<void> {
    const rows = await recorder.store.keys();
    keys.replace(rows);
    limits.restore(rows, await recorder.store.spent(limits.dayStart));
  }
  // who may call, and what was spent today, must be known before the first call
  if (!keys.known || keys.limitMoney) {
    await firstKeys(recorder, refresh, log, options.databaseUrl ? AWAY_MS : MAKING_MS);
  }
  const timer = refreshing(refresh);
  const adminFile = join(folder, 'admin.json');
  const token = options.adminToken ?? knownToken(adminFile) ?? randomBytes(32).toString('base64url');
  const servers: Server[] = [];
  try {
    const admin = adminApp({ recorder, metrics, token, keysChanged: refresh });
    const ofAdmin = getRequestListener(admin.fetch, { overrideGlobalObjects: false });
    servers.push(await listen(gatewayListener(service), options.host ?? '127.0.0.1', options.port ?? 0));
    servers.push(await listen(ofAdmin, options.adminHost ?? '127.0.0.1', options.adminPort ?? 0));
  } catch (error) {
    clearInterval(timer);
    for (const server of servers) server.close();
    await recorder.close();
    throw error;
  }
  const [url, adminUrl] = servers.map(urlOf);
  writeFileDurably(adminFile, `${JSON.stringify({ url: adminUrl, token, pid: process.pid } satisfies AdminFile)}\n`);
  chmodSync(adminFile, 0o600);
  return {
    url: `${url}/v1`,
    adminUrl,
    recorder,
    async close(graceMs = 30_000) {
      await Promise.all(servers.map((server) => drained(server, graceMs)));
      clearInterval(timer);
      await options.tracing?.close();
      await recorder.close();
    },
  };
}

/** The database is waited for, a while. Without a copy of the keys on disk callers are refused until it answers. */
async function firstKeys(recorder: Recorder, refresh: () => Promise<void>, log: Log, waitMs: number): Promise<void> {
  try {
    await recorder.settled(waitMs);
    await refresh();
  } catch {
    log.warn('the database does not answer: keys and spending are those that are known so far');
  }
}

/** Keys and spending are read again and again: another gateway may share the database. */
function refreshing(refresh: () => Promise<void>): NodeJS.Timeout {
  // while the database is away the copy on disk serves
  const timer = setInterval(() => refresh().catch(() => {}), KEYS_EVERY_MS);
  timer.unref();
  return timer;
}

function knownToken(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as AdminFile).token;
  } catch {
    rmSync(file, { force: true });
    return undefined;
  }
}

/** A caller may be slow to send, but not forever; answers are bounded by the limits towards the upstream. */
const SERVER = { requestTimeout: 120_000, headersTimeout: 30_000, keepAliveTimeout: 75_000, noDelay: true };

async function listen(listener: RequestListener, hostname: string, port: number): Promise<Server> {
  const server = createServer(SERVER, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new CupelError(`cannot listen on ${hostname}:${port}: ${cause.code ?? cause.message}`, {
          place: { field: 'port' },
          remedy: 'choose another port',
          exitCode: 2,
          cause,
        }),
      ),
    );
    server.listen(port, hostname, () => resolve());
  });
  return server;
}

function urlOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** Takes no new connections; resolves when the last answer is out or the time is up. */
function drained(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    // connections that are kept alive become idle one by one
    const idle = setInterval(() => server.closeIdleConnections(), 50);
    server.close(() => {
      clearTimeout(timer);
      clearInterval(idle);
      resolve();
    });
  });
}
