// An open-loop load: requests leave on schedule whether or not answers have come, so that a slow server cannot slow the clock.
import { Agent, request } from 'node:http';

export interface Load {
  url: string;
  /** Requests per second. */
  rate: number;
  seconds: number;
  /** One request in so many is streamed. */
  streamEvery: number;
}

export interface Measured {
  sent: number;
  /** Answers that came whole with status 200. */
  answered: number;
  failed: number;
  /** Milliseconds from the time a request was due to the last byte of its answer, ascending. */
  latencies: Float64Array;
  /** Answers per second while the load lasted. */
  throughput: number;
}

const PROMPT =
  'You are the assistant of a web shop. Answer in one friendly paragraph. Do not promise dates that the carrier has not confirmed. '.repeat(
    4,
  );

/** A request body of some 700 bytes, each another. */
function bodyOf(n: number, stream: boolean): Buffer {
  const messages = [
    { role: 'system', content: PROMPT },
    {
      role: 'user',
      content: `Hello, this is ${n}: my order of last week has not come yet, mail me at customer${n}@shop-mail.com`,
    },
  ];
  return Buffer.from(JSON.stringify({ model: 'bench', messages, temperature: 0, ...(stream ? { stream: true } : {}) }));
}

export async function runLoad({ url, rate, seconds, streamEvery }: Load): Promise<Measured> {
  const agent = new Agent({ keepAlive: true, maxSockets: 512, scheduling: 'lifo' });
  const target = new URL(`${url}/chat/completions`);
  const count = Math.round(rate * seconds);
  const latencies: number[] = [];
  let failed = 0;
  let pending = 0;
  let finished = 0;
  const started = performance.now();
  const send = (n: number, due: number) => {
    pending++;
    const settle = (good: boolean) => {
      pending--;
      finished = performance.now();
      if (good) latencies.push(finished - due);
      else failed++;
    };
    const body = bodyOf(n, n % streamEvery === 0);
    const outgoing = request(
      target,
      { method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': body.length } },
      (answer) => {
        answer.resume();
        answer.on('end', () => settle(answer.statusCode === 200 && answer.complete));
        answer.on('error', () => settle(false));
      },
    );
    outgoing.on('error', () => settle(false));
    outgoing.end(body);
  };
  for (let n = 0; n < count; ) {
    const now = performance.now() - started;
    for (; n < count && (n * 1000) / rate <= now; n++) send(n, started + (n * 1000) / rate);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const deadline = performance.now() + 20_000;
  while (pending > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  agent.destroy();
  return {
    sent: count,
    answered: latencies.length,
    failed: failed + pending,
    latencies: Float64Array.from(latencies).sort(),
    throughput: latencies.length / ((finished - started) / 1000),
  };
}

export function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
