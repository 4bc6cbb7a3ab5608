// What was acknowledged is stored: after kill -9 of the gateway in the middle of traffic, and with the database away.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MockUpstream, mockUpstream } from '../../test/mock-upstream.ts';
import { type RecordProcess, startRecordProcess } from '../../test/record-process.ts';
import { Recorder } from './recorder.ts';
import { allExchanges } from './recordings.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-durable-'));
// one for all, because making a database takes seconds
const workspace = join(folder, 'workspace');
const started: RecordProcess[] = [];
let upstream: MockUpstream;

beforeAll(async () => {
  upstream = await mockUpstream(undefined, { keep: false });
});
afterAll(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<RecordProcess> {
  const one = await startRecordProcess(workspace, upstream.url);
  started.push(one);
  return one;
}

interface Traffic {
  sent: number;
  /** Ids of exchanges whose callers got the whole answer. */
  acknowledged: Set<string>;
  stop: () => Promise<void>;
}

/** Callers who ask one after the other, half of them for streams, until the gateway is gone or `stop` is called. */
function traffic(url: string, callers: number): Traffic {
  const all: Traffic = { sent: 0, acknowledged: new Set(), stop: async () => {} };
  let stopping = false;
  const caller = async (n: number) => {
    while (!stopping) {
      const number = ++all.sent;
      try {
        const response = await fetch(`${url}/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'm',
            stream: n % 2 === 0,
            messages: [{ role: 'user', content: `q${number}` }],
          }),
        });
        const text = await response.text();
        const whole = n % 2 === 0 ? text.endsWith('data: [DONE]\n\n') : text.endsWith('}');
        if (response.ok && whole) all.acknowledged.add(response.headers.get('x-cupel-exchange')!);
      } catch {
        return;
      }
    }
  };
  const running = Promise.all(Array.from({ length: callers }, (_, n) => caller(n)));
  all.stop = async () => {
    stopping = true;
    await running;
  };
  return all;
}

async function storedIds(): Promise<string[]> {
  const recorder = new Recorder({ workspace });
  try {
    await recorder.settled(30_000);
    const ids: string[] = [];
    for await (const row of allExchanges(recorder.store, {})) ids.push(row.id);
    return ids;
  } finally {
    await recorder.close();
  }
}

test('every acknowledged exchange survives kill -9, again and again in one workspace', async () => {
  const acknowledged = new Set<string>();
  let sent = 0;
  for (const aliveMs of [300, 700]) {
    const gateway = await start();
    const callers = traffic(gateway.url, 16);
    await sleep(aliveMs);
    await Promise.all([callers.stop(), gateway.end('SIGKILL')]);
    sent += callers.sent;
    for (const id of callers.acknowledged) acknowledged.add(id);
  }
  const stored = await storedIds();
  console.log(`sent ${sent}, acknowledged ${acknowledged.size}, stored ${stored.length}`);
  expect(acknowledged.size).toBeGreaterThan(20);
  expect([...acknowledged].filter((id) => !stored.includes(id))).toEqual([]);
  // nothing twice, nothing invented
  expect(new Set(stored).size).toBe(stored.length);
  expect(stored.length).toBeLessThanOrEqual(sent);
}, 90_000);

test('SIGTERM finishes what is in flight and leaves nothing behind', async () => {
  const gateway = await start();
  const callers = traffic(gateway.url, 4);
  await sleep(300);
  const [code] = await Promise.all([gateway.end('SIGTERM'), callers.stop()]);
  expect(code).toBe(0);
  const stored = await storedIds();
  expect(stored.length).toBeGreaterThanOrEqual(callers.acknowledged.size);
  expect([...callers.acknowledged].filter((id) => !stored.includes(id))).toEqual([]);
  expect(readFileSync(join(workspace, 'record', 'journal', 'cursor.json'), 'utf8')).toMatch(/"offset":0/);
}, 60_000);
