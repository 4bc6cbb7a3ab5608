// `npm run bench:serve [MODEL.gguf]`: our server side by side with llama-server (BENCH_LLAMA_SERVER=path/to/llama-server), same file,
// threads and client; prints one table of tokens/s, requests/s and time to first token, and writes bench/results/serve.json.
// Without llama-server it measures ours alone, and writes nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeFileDurably } from '../src/base/durable.ts';
import { resolveModel } from '../src/catalog/resolve.ts';
import { compress } from '../src/compress/compress.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { classification, type LoadResult, stories } from './serve/load.ts';
import { rawDecode } from './serve/raw.ts';
import { type BenchServer, type ServerSetup, startLlamaServer, startOurs } from './serve/servers.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string' },
    rounds: { type: 'string', default: '2' },
    requests: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
  },
});
const threads = Number(values.threads ?? availableParallelism());
const PARALLEL = 16;

interface Figures {
  alone: number;
  together: number;
  requestsPerSecond: number;
  /** Milliseconds to the first token of classification requests. */
  p50: number;
  p99: number;
}

const folder = mkdtempSync(join(tmpdir(), 'cupel-bench-'));
try {
  const model = positionals[0] ?? (await defaultModel());
  const setup: ServerSetup = { model, threads, parallel: PARALLEL, contextTokens: 2048 };
  const raw = { alone: rawDecode(model, threads, 1), together: rawDecode(model, threads, PARALLEL) };
  const peer = process.env.BENCH_LLAMA_SERVER;
  const loadBefore = loadavg()[0];
  const ours: Figures[] = [];
  const theirs: Figures[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    ours.push(await measure(await startOurs(setup)));
    if (peer) theirs.push(await measure(await startLlamaServer(peer, setup)));
  }
  print(raw, best(ours), theirs.length > 0 ? best(theirs) : undefined);
  if (peer) keep({ model: basename(model), loadBefore, raw, ours, theirs });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function defaultModel(): Promise<string> {
  const base = openCheckpoint((await resolveModel('smollm2-135m-instruct')).path);
  const { files } = await compress({ base, types: ['q4_0'], folder });
  base.close();
  return join(folder, files[0].name);
}

async function measure(server: BenchServer): Promise<Figures> {
  try {
    await stories(server.url, 1, 16);
    const alone = await stories(server.url, 1);
    const together = await stories(server.url, PARALLEL);
    await classification(server.url, 2, 1);
    const labels = await classification(server.url, Number(values.requests), 8);
    const at = (share: number) => labels.firstToken[Math.floor(share * (labels.firstToken.length - 1))];
    const speed = ({ tokens, seconds }: LoadResult) => tokens / seconds;
    return {
      alone: speed(alone),
      together: speed(together),
      requestsPerSecond: labels.requests / labels.seconds,
      p50: at(0.5),
      p99: at(0.99),
    };
  } finally {
    await server.stop();
  }
}

/** The best of several rounds: other work on the machine only ever slows a server down. */
function best(rounds: Figures[]): Figures {
  const most = (of: (figures: Figures) => number) => Math.max(...rounds.map(of));
  return {
    alone: most((each) => each.alone),
    together: most((each) => each.together),
    requestsPerSecond: most((each) => each.requestsPerSecond),
    p50: -most((each) => -each.p50),
    p99: -most((each) => -each.p99),
  };
}

/** Every round, with the conditions. */
function keep(measured: object): void {
  const { rounds, requests } = values;
  const conditions = { cpu: cpus()[0].model, threads, node: process.version, rounds, requests };
  const record = { date: new Date().toISOString(), ...conditions, ...measured };
  const file = new URL('results/serve.json', import.meta.url);
  writeFileDurably(fileURLToPath(file), `${JSON.stringify(record, null, 2)}\n`);
}

function print(raw: { alone: number; together: number }, ours: Figures, theirs: Figures | undefined): void {
  if (values.json) {
    console.log(JSON.stringify({ threads, raw, ours, theirs }));
    return;
  }
  const rows = (
    [
      ['tokens/s, 1 request', 'alone', raw.alone],
      ['tokens/s, 16 at once', 'together', raw.together],
      ['requests/s, classification', 'requestsPerSecond', undefined],
      ['ms to first token, p50', 'p50', undefined],
      ['ms to first token, p99', 'p99', undefined],
    ] as const
  ).map(([name, key, bound]) => ({
    '': name,
    'library alone (decode only)': bound?.toFixed(0) ?? '',
    'cupel serve': ours[key].toFixed(1),
    'llama-server': theirs?.[key].toFixed(1) ?? 'not given',
    ratio: theirs ? (ours[key] / theirs[key]).toFixed(2) : '',
  }));
  console.table(rows);
}
