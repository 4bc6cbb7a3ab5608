// `npm run bench:serve:soak [-- MINUTES [MODEL.gguf]]`: 64 clients that cancel at random, stream, and send malformed bodies; at the
// end nothing may be stuck, and memory must be what it was after the first fifth. Writes bench/results/serve-soak.json.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileDurably } from '../src/base/durable.ts';
import { Random } from '../src/base/random.ts';
import { resolveModel } from '../src/catalog/resolve.ts';
import { startOurs } from './serve/servers.ts';

const CLIENTS = 64;
const minutes = Number(process.argv[2] ?? 20);
const model = process.argv[3] ?? (await resolveModel('smollm2-135m-instruct')).path;
const server = await startOurs({ model, threads: availableParallelism(), parallel: 16, contextTokens: 1024 });
const end = performance.now() + minutes * 60_000;
const counts: Record<string, number> = {};
const count = (what: string) => {
  counts[what] = (counts[what] ?? 0) + 1;
};
const memory: number[] = [];
let longestSeconds = 0;

const sampler = setInterval(() => memory.push(residentMegabytes(server.pid)), 1000);
await Promise.all(Array.from({ length: CLIENTS }, (_, seed) => client(new Random(seed + 1))));
clearInterval(sampler);

const health = await settled();
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const fifth = Math.ceil(memory.length / 5);
const [early, late] = [mean(memory.slice(fifth, 2 * fifth)), mean(memory.slice(-fifth))];
const failed = Object.keys(counts).some((what) => what.startsWith('failed'));
const found = { counts, longestSeconds, health, earlyMegabytes: early, lateMegabytes: late, growth: late / early - 1 };
console.log(found);
const conditions = { date: new Date().toISOString(), cpu: cpus()[0].model, node: process.version };
const record = { ...conditions, minutes, clients: CLIENTS, model: basename(model), ...found };
const file = fileURLToPath(new URL('results/serve-soak.json', import.meta.url));
writeFileDurably(file, `${JSON.stringify(record, null, 2)}\n`);
await server.stop();
process.exitCode = late / early < 1.05 && !failed ? 0 : 1;

async function client(random: Random): Promise<void> {
  while (performance.now() < end) {
    const kind = random.next();
    try {
      if (kind < 0.15) await malformed(random);
      else await generate(random, kind < 0.5);
    } catch (error) {
      const { name, cause } = error as Error & { cause?: { code?: string } };
      count(name === 'AbortError' || name === 'TimeoutError' ? 'cancelled' : `failed ${cause?.code ?? name}`);
    }
  }
}

async function malformed(random: Random): Promise<void> {
  const bodies = [
    '{',
    '[]',
    '{"prompt": 7}',
    '\u0000',
    JSON.stringify({ prompt: 'x '.repeat(3000) }),
    '{"prompt":"x","n":-1}',
  ];
  const response = await post(bodies[random.below(bodies.length)]);
  await response.text();
  count(`malformed ${response.status}`);
}

async function generate(random: Random, cancels: boolean): Promise<void> {
  const body = {
    prompt: `${random.next() < 0.5 ? 'A shared beginning, long enough to be held for all. '.repeat(random.next() < 0.5 ? 4 : 24) : ''}${random.nextUint32()}`,
    max_tokens: 1 + random.below(60),
    temperature: random.below(2),
    stream: random.next() < 0.5,
    ignore_eos: true,
  };
  const signal = cancels ? AbortSignal.timeout(random.below(1500)) : undefined;
  const started = performance.now();
  const response = await post(JSON.stringify(body), signal);
  await response.text();
  longestSeconds = Math.max(longestSeconds, (performance.now() - started) / 1000);
  count(`answered ${response.status}`);
}

function post(body: string, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(`${server.url}/v1/completions`, { method: 'POST', headers, body, signal });
}

/** What /healthz says once nothing runs; throws when a slot stays taken. */
async function settled(): Promise<unknown> {
  for (let second = 0; second < 30; second++) {
    const health = (await (await fetch(`${server.url}/healthz`)).json()) as {
      models: { running: number; waiting: number }[];
    };
    if (health.models.every(({ running, waiting }) => running === 0 && waiting === 0)) return health;
    await new Promise((done) => setTimeout(done, 1000));
  }
  throw new Error('a slot is stuck');
}

/** Resident set of a process, in MB; Linux only. */
function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024;
}
