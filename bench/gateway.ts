// What the gateway costs: latency added at 500 requests a second with storage on, a ladder to saturation, and none lost.
//   npm run bench:gateway [-- SECONDS]
// Load generator, gateway, store and a mock upstream share this machine; DATABASE_URL benches a PostgreSQL instead of PGlite.
// Writes bench/results/gateway.json.
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatTable } from '../src/cli/table.ts';
import type { AdminFile } from '../src/record/gateway/gateway.ts';
import { type Measured, quantile, runLoad } from './gateway/load.ts';

const RATE = 500;
const LADDER = [250, 500, 750, 1000, 1250, 1500, 2000, 2500];
const STREAM_EVERY = 4;
const seconds = Number(process.argv[2] ?? 3);
const date = new Date().toISOString();
const store = process.env.DATABASE_URL ? 'PostgreSQL' : 'PGlite';
const load1 = loadavg()[0];
const workspace = mkdtempSync(join(tmpdir(), 'cupel-bench-'));
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const upstream = fork(file('./gateway-upstream.ts'), { execArgv: ['--import', 'tsx'] });
const { url: direct } = await new Promise<{ url: string }>((resolve) => upstream.once('message', resolve));
const proxy = fork(file('./gateway-bare.ts'), [direct], { execArgv: ['--import', 'tsx'] });
const { url: bare } = await new Promise<{ url: string }>((resolve) => proxy.once('message', resolve));
const args = ['record', '-u', direct, '-w', workspace, '-p', '0', '--admin-port', '0', '--access', 'open'];
const gateway = fork(file('../test/record-child.ts'), args, {
  execArgv: ['--import', 'tsx'],
  stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
});
const through = await new Promise<string>((resolve) => {
  let text = '';
  gateway.stderr!.on('data', (chunk: Buffer) => {
    if (text.length > 10_000) return;
    text += chunk.toString();
    const found = /"url":"([^"]+)"/.exec(text);
    if (found) resolve(found[1]);
  });
});
const admin = JSON.parse(readFileSync(join(workspace, 'record', 'admin.json'), 'utf8')) as AdminFile;

async function stored(): Promise<{ exchanges: number; waitingBytes: number }> {
  const answer = await fetch(`${admin.url}/admin/status`, { headers: { authorization: `Bearer ${admin.token}` } });
  return (await answer.json()) as { exchanges: number; waitingBytes: number };
}

/** Waits until the store has everything; returns exchanges stored and the seconds that took. */
async function settled(expected: number): Promise<{ exchanges: number; seconds: number }> {
  const started = performance.now();
  for (;;) {
    const { exchanges } = await stored();
    const waited = (performance.now() - started) / 1000;
    if (exchanges >= expected || waited > 60) return { exchanges, seconds: waited };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Processors that this bench left to others, and that others used, since the last call; NaN where the system does not tell. */
function usedByOthers(): number {
  try {
    const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
    const [user, nice, system, , , interrupt, soft, stolen] = ticks;
    const own = [process.pid, upstream.pid, proxy.pid, gateway.pid].reduce<number>(
      (sum, pid) => sum + processorMs(pid),
      0,
    );
    const now = { others: (user + nice + system + interrupt + soft + stolen) * 10 - own, at: performance.now() };
    const used = (now.others - counted.others) / (now.at - counted.at);
    counted = now;
    return Math.max(0, used);
  } catch {
    return Number.NaN;
  }
}
let counted = { others: 0, at: 0 };

/** Milliseconds of processor time of a process with all its threads; NaN where the system does not tell. */
function processorMs(pid: number | undefined): number {
  try {
    const [utime, stime] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .split(') ')[1]
      .split(' ')
      .slice(11, 13)
      .map(Number);
    return (utime + stime) * 10;
  } catch {
    return Number.NaN;
  }
}

const load = (url: string, rate: number, time = seconds) =>
  runLoad({ url, rate, seconds: time, streamEvery: STREAM_EVERY });
const ms = (value: number) => value.toFixed(2);
let answered = 0;
const recorded = async (rate: number, time?: number): Promise<Measured> => {
  const measured = await load(through, rate, time);
  answered += measured.answered;
  return measured;
};

console.log(`${cpus().length} x ${cpus()[0].model.trim()}, Node ${process.version}, store: ${store}`);
console.log(
  `one request in ${STREAM_EVERY} streamed; latency from the time a request was due to the last byte of its answer\n`,
);
await load(direct, 200, 3);
await load(bare, 200, 3);
await recorded(200, 3);

// all three in turn, many times and briefly, so that what else the machine does hits all of them
const ROUNDS = 8;
const ways = { direct: [] as Measured[], bare: [] as Measured[], gateway: [] as Measured[] };
const processes = { bare: proxy, gateway };
const before = { bare: processorMs(proxy.pid), gateway: processorMs(gateway.pid) };
usedByOthers();
for (let round = 0; round < ROUNDS; round++) {
  ways.direct.push(await load(direct, RATE));
  ways.bare.push(await load(bare, RATE));
  ways.gateway.push(await recorded(RATE));
}
const others = usedByOthers();
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
const busy = (way: 'bare' | 'gateway') =>
  (processorMs(processes[way].pid) - before[way]) / ways[way].reduce((sum, one) => sum + one.answered, 0);
const busyMs = { bare: busy('bare'), gateway: busy('gateway') };
const least = (values: number[]) => Math.min(...values);
const ofRounds = (way: keyof typeof ways, share: number, pick: (values: number[]) => number) =>
  pick(ways[way].map((one) => quantile(one.latencies, share)));
const head = [
  '500 requests/s',
  'p50 ms',
  'added',
  'p99 ms',
  'added',
  'quietest round: p50',
  'added',
  'p99',
  'added',
  'processor ms a request',
  'failed',
];
const rows = (Object.keys(ways) as (keyof typeof ways)[]).map((way) => {
  const cells = [median, least].flatMap((pick) =>
    [0.5, 0.99].flatMap((share) => {
      const own = ofRounds(way, share, pick);
      return [ms(own), way === 'direct' ? '' : ms(own - ofRounds('direct', share, pick))];
    }),
  );
  const processor = way === 'direct' ? '' : ms(busyMs[way]);
  return [way, ...cells, processor, String(ways[way].reduce((sum, one) => sum + one.failed, 0))];
});
console.log(
  `${formatTable([head, ...rows])}\n(medians of ${ROUNDS} rounds of ${seconds} s; bare: a proxy on Node that records nothing; other programs used ${ms(others)} processors)\n`,
);

const steps: object[] = [];
const ladder: string[][] = [['offered/s', 'answered/s', 'p50 ms', 'p99 ms', 'failed', 'seconds until all is stored']];
for (const rate of LADDER) {
  const measured = await recorded(rate, Math.max(seconds, 4));
  const { seconds: behind } = await settled(answered);
  const [p50, p99] = [quantile(measured.latencies, 0.5), quantile(measured.latencies, 0.99)];
  const { throughput, failed } = measured;
  steps.push({ offered: rate, answered: throughput, p50Ms: p50, p99Ms: p99, failed, storedAfterSeconds: behind });
  ladder.push([
    String(rate),
    measured.throughput.toFixed(0),
    ms(p50),
    ms(p99),
    String(measured.failed),
    behind.toFixed(1),
  ]);
  // saturated: answers come later and later
  if (measured.throughput < 0.9 * rate || p99 > 1000) break;
}
console.log(`${formatTable(ladder)}\n`);

const { exchanges } = await settled(answered);
console.log(`answered ${answered}, stored ${exchanges}, lost ${Math.max(0, answered - exchanges)}`);

const results = new URL('results/', import.meta.url);
mkdirSync(results, { recursive: true });
const roundsOf = (way: keyof typeof ways) =>
  ways[way].map(({ latencies, failed }) => ({
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    failed,
  }));
const record = {
  date,
  cpu: cpus()[0]?.model.trim(),
  cores: cpus().length,
  loadBefore: load1,
  processorsUsedByOthers: others,
  node: process.version,
  store,
  rate: RATE,
  secondsOfARound: seconds,
  added: {
    p50Ms: ofRounds('gateway', 0.5, median) - ofRounds('direct', 0.5, median),
    p99Ms: ofRounds('gateway', 0.99, median) - ofRounds('direct', 0.99, median),
  },
  processorMsOfARequest: busyMs,
  rounds: { direct: roundsOf('direct'), bare: roundsOf('bare'), gateway: roundsOf('gateway') },
  ladder: steps,
  answered,
  stored: exchanges,
  lost: Math.max(0, answered - exchanges),
};
writeFileSync(new URL('gateway.json', results), `${JSON.stringify(record, null, 2)}\n`);
const ended = new Promise((resolve) => gateway.once('exit', resolve));
gateway.kill('SIGTERM');
await ended;
upstream.kill();
proxy.kill();
rmSync(workspace, { recursive: true, force: true });
