// The two servers under test as processes of their own: ours from this tree, llama-server from BENCH_LLAMA_SERVER.
import { type ChildProcess, spawn } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

export interface ServerSetup {
  model: string;
  threads: number;
  parallel: number;
  contextTokens: number;
}

export interface BenchServer {
  name: string;
  url: string;
  pid: number;
  stop(): Promise<void>;
}

export async function startOurs({ model, threads, parallel, contextTokens }: ServerSetup): Promise<BenchServer> {
  const port = await freePort();
  const bin = fileURLToPath(new URL('../../bin/cupel.mjs', import.meta.url));
  const flags = { port, threads, parallel, context: contextTokens };
  return start(
    'cupel serve',
    process.execPath,
    [bin, 'serve', model, '--unproven', ...asFlags(flags)],
    port,
    '/healthz',
  );
}

/** @param binary path of llama-server */
export async function startLlamaServer(binary: string, setup: ServerSetup): Promise<BenchServer> {
  const { model, threads, parallel, contextTokens } = setup;
  const port = await freePort();
  const flags = { port, model, threads, parallel, 'ctx-size': contextTokens * parallel };
  // a connection kept alive holds one of its threads: with the usual number of them it stands still between two loads
  const more = ['--no-webui', '--log-disable', '--threads-http', '64'];
  return start('llama-server', binary, [...asFlags(flags), ...more], port, '/health');
}

const asFlags = (flags: Record<string, string | number>) =>
  Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);

async function start(
  name: string,
  command: string,
  args: string[],
  port: number,
  health: string,
): Promise<BenchServer> {
  const child = spawn(command, args, { stdio: 'ignore' });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  await ready(name, child, `${url}${health}`);
  return {
    name,
    url,
    pid: child.pid!,
    stop: () => {
      child.kill('SIGTERM');
      return gone;
    },
  };
}

async function ready(name: string, child: ChildProcess, url: string): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (child.exitCode !== null) throw new Error(`${name} ended with code ${child.exitCode}`);
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${name} did not come up within a minute`);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}
