// One suite for both stores: the embedded PGlite, and a real PostgreSQL where one is installed.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Postgres, postgresBinaries, startPostgres } from '../../../test/postgres.ts';
import { type Exchange, type Feedback, newId } from '../exchange.ts';
import { makeKey } from '../gateway/keys.ts';
import { JournalWriter } from '../journal/writer.ts';
import { Recorder, StoreAwayError } from '../recorder.ts';
import { Drain } from './drain.ts';
import { openStore } from './open.ts';
import type { Store } from './store.ts';
import { takeOver } from './takeover.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-store-'));
const binaries = postgresBinaries();
let postgres: Postgres | undefined;
if (!binaries) {
  console.warn('SKIPPED: the store on PostgreSQL, because it is not installed (Debian: apt-get install postgresql)');
}
beforeAll(async () => {
  if (binaries) postgres = await startPostgres(binaries);
});
afterAll(async () => {
  await postgres?.remove();
  rmSync(folder, { recursive: true, force: true });
});

const DAY = '2026-03-0';
let time = Date.parse(`${DAY}1T00:00:00Z`);

function exchange(more: Partial<Exchange> = {}): Exchange {
  time += 1000;
  return {
    id: newId('ex', time),
    at: new Date(time).toISOString(),
    endpoint: 'chat/completions',
    model: 'm',
    upstream: 'u',
    attempts: 1,
    status: 200,
    outcome: 'complete',
    streamed: false,
    request: { model: 'm', messages: [{ role: 'user', content: '你好 "quoted" \\ \u0007' }] },
    response: { z: 1, a: 2, choices: [] },
    completion_id: null,
    prompt_tokens: 3,
    cached_tokens: null,
    completion_tokens: 4,
    reasoning_tokens: null,
    latency_ms: 12.5,
    first_token_ms: null,
    usd: 0.25,
    assumed_usd: null,
    key_id: null,
    user_id: null,
    tags: {},
    redactions: {},
    ...more,
  };
}

const said = (exchange_id: string, more: Partial<Feedback> = {}): Feedback => ({
  id: newId('fb', ++time),
  exchange_id,
  at: new Date(time).toISOString(),
  score: 1,
  corrected: null,
  comment: null,
  key_id: null,
  ...more,
});

const add = (store: Store, ...rows: Exchange[]) => store.addExchanges(rows.map((row) => JSON.stringify(row)));
const ids = async (store: Store, filter = {}) => (await store.page({ filter, limit: 1000 })).map((row) => row.id);

const backends: { name: string; skip: boolean; open: () => Promise<Store> }[] = [
  { name: 'PGlite', skip: false, open: () => openStore({ folder: join(folder, 'pglite') }) },
  { name: 'PostgreSQL', skip: !binaries, open: () => openStore({ url: postgres!.url }) },
];

for (const { name, skip, open } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let store: Store;
    beforeAll(async () => {
      store = await open();
    });
    beforeEach(async () => {
      await store.remove({ since: '1970-01-01T00:00:00Z' });
    });
    afterAll(() => store.close());

    test('a row comes back as it was, the order of keys in its bodies included', async () => {
      const row = exchange({ tags: { a: 'b' }, redactions: { card: 2 }, user_id: 'u', cached_tokens: 1 });
      await add(store, row);
      const [back] = await store.page({ filter: {}, limit: 10 });
      expect(back).toEqual({ ...row, feedback: [] });
      expect(JSON.stringify(back.response)).toBe('{"z":1,"a":2,"choices":[]}');
    });

    test('the same row offered twice is there once', async () => {
      const row = exchange();
      await add(store, row);
      await add(store, row, exchange(), row);
      expect((await store.counts()).exchanges).toBe(2);
    });

    test('pages go by id and filters hold together', async () => {
      const rows = [
        exchange({ tags: { team: 'a', env: 'x' }, model: 'one' }),
        exchange({ tags: { team: 'a' }, model: 'two', outcome: 'error', status: 500 }),
        exchange({ tags: { team: 'b' }, model: 'one', user_id: 'ann' }),
      ];
      await add(store, ...rows);
      const [a, b, c] = rows.map((row) => row.id);
      expect(await ids(store)).toEqual([a, b, c]);
      expect((await store.page({ filter: {}, after: a, limit: 1 })).map((row) => row.id)).toEqual([b]);
      expect(await ids(store, { tags: { team: 'a' } })).toEqual([a, b]);
      expect(await ids(store, { tags: { team: 'a' }, complete: true })).toEqual([a]);
      expect(await ids(store, { tags: { team: 'a', env: 'y' } })).toEqual([]);
      expect(await ids(store, { model: 'one', user: 'ann' })).toEqual([c]);
      expect(await ids(store, { since: rows[1].at })).toEqual([b, c]);
      expect(await ids(store, { until: rows[1].at })).toEqual([a]);
      // values that look like SQL are values
      expect(await ids(store, { user: "' or 1=1 --", tags: { "a'": '"' } })).toEqual([]);
    });

    test('feedback is found by exchange and by completion, also when it came first', async () => {
      const row = exchange({ completion_id: 'chatcmpl-9' });
      await store.addFeedback([JSON.stringify(said('chatcmpl-9', { corrected: { role: 'assistant', content: 'x' } }))]);
      await add(store, row, exchange());
      await store.addFeedback([JSON.stringify(said(row.id, { score: -1 }))]);
      const [first, second] = await store.page({ filter: {}, limit: 10 });
      expect(first.feedback.map((one) => one.score)).toEqual([1, -1]);
      expect(first.feedback[0].corrected).toEqual({ role: 'assistant', content: 'x' });
      expect(second.feedback).toEqual([]);
    });

    test('what is removed by age, user or tag takes its feedback along, and the rest stays', async () => {
      const old = exchange({ at: `${DAY}1T00:00:00.000Z`, completion_id: 'c-old' });
      const ann = exchange({ at: `${DAY}5T00:00:00.000Z`, user_id: 'ann' });
      const tagged = exchange({ at: `${DAY}5T00:00:00.000Z`, tags: { team: 'gone' } });
      const kept = exchange({ at: `${DAY}5T00:00:00.000Z`, tags: { team: 'here' }, user_id: 'bob' });
      await add(store, old, ann, tagged, kept);
      await store.addFeedback([said('c-old'), said(ann.id), said(kept.id)].map((row) => JSON.stringify(row)));
      expect(await store.remove({ until: `${DAY}4T00:00:00Z` })).toBe(1);
      expect(await store.remove({ user: 'ann' })).toBe(1);
      expect(await store.remove({ tags: { team: 'gone' } })).toBe(1);
      expect(await ids(store)).toEqual([kept.id]);
      expect(await store.counts()).toEqual({ exchanges: 1, feedback: 1 });
      await expect(store.remove({})).rejects.toThrow(/no condition/);
    });

    test('what is too old goes with all that was said of it, also where its exchange never came', async () => {
      const old = exchange({ at: `${DAY}1T00:00:00.000Z` });
      const kept = exchange({ at: `${DAY}5T00:00:00.000Z` });
      await add(store, old, kept);
      const stray = said('never', { at: `${DAY}1T00:00:00.000Z`, corrected: 'a text' });
      const recent = said(kept.id, { at: `${DAY}5T01:00:00.000Z` });
      await store.addFeedback([stray, said(old.id), recent].map((row) => JSON.stringify(row)));
      await store.expire(`${DAY}4T00:00:00Z`);
      expect(await ids(store)).toEqual([kept.id]);
      expect(await store.counts()).toEqual({ exchanges: 1, feedback: 1 });
    });

    test('keys are kept as hashes, revoked once, and their money is summed by day', async () => {
      const { row, secret } = makeKey({ name: 'app', usdPerDay: 5 });
      await store.addKey(row);
      await expect(store.addKey(row)).rejects.toThrow();
      const found = (await store.keys()).find((key) => key.id === row.id)!;
      expect(found).toMatchObject({ name: 'app', usd_per_day: 5, requests_per_minute: null, revoked_at: null });
      expect(JSON.stringify(found)).not.toContain(secret);
      await add(
        store,
        exchange({ key_id: row.id }),
        exchange({ key_id: row.id, usd: null, assumed_usd: 0.5 }),
        exchange(),
      );
      expect((await store.spent('2026-03-01T00:00:00Z')).get(row.id)).toBe(0.75);
      expect((await store.spent('2027-01-01T00:00:00Z')).has(row.id)).toBe(false);
      expect(await store.revokeKey(row.id, new Date().toISOString())).toBe(true);
      expect(await store.revokeKey(row.id, new Date().toISOString())).toBe(false);
    });

    test('a row that the database cannot hold is repaired or set aside, and stops nothing', async () => {
      const good = [exchange(), exchange(), exchange()];
      const nul = { ...exchange(), response: { text: 'a\0b' }, user_id: 'x\0y' };
      const wrong = { ...exchange(), status: 'no number' };
      const records = [good[0], nul, good[1], wrong, good[2]].map((row) => ({
        kind: 'x' as const,
        json: JSON.stringify(row),
      }));
      const rejected = await takeOver(store, records);
      expect(rejected.map(({ json }) => JSON.parse(json).id)).toEqual([wrong.id]);
      expect(await ids(store)).toEqual([good[0].id, nul.id, good[1].id, good[2].id].sort());
      const back = (await store.page({ filter: {}, limit: 10 })).find((row) => row.id === nul.id)!;
      expect(back.user_id).toBe('x\uFFFDy');
    });

    test('opening again finds the tables as they are', async () => {
      await add(store, exchange());
      const again = name === 'PGlite' ? store : await open();
      expect((await again.counts()).exchanges).toBe(1);
      if (again !== store) await again.close();
    });
  });
}

test('the embedded store erases what was removed from the disk, its log included, and uses the space again', async () => {
  const place = join(folder, 'erased');
  const store = await openStore({ folder: place });
  const rows = () =>
    Array.from({ length: 200 }, (_, i) =>
      exchange({
        user_id: i % 10 === 0 ? 'ann' : 'bob',
        response: { text: `${i % 10 === 0 ? 'to-be-erased' : 'to-be-kept'} ${randomBytes(4000).toString('hex')}` },
      }),
    );
  await add(store, ...rows());
  expect(await store.remove({ user: 'ann' })).toBe(20);
  expect(filesBelow(place).some((file) => readFileSync(file).includes('to-be-erased'))).toBe(false);
  expect((await store.page({ filter: {}, limit: 1000 })).length).toBe(180);
  const sizes: number[] = [];
  for (let round = 0; round < 4; round++) {
    await add(store, ...rows());
    await store.expire('2100-01-01T00:00:00Z');
    sizes.push(filesBelow(join(place, 'base')).reduce((sum, file) => sum + statSync(file).size, 0));
  }
  await store.close();
  // without that each round adds more than a megabyte
  expect(sizes[3] - sizes[0]).toBeLessThan(1 << 20);
});

function filesBelow(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
  return names.map((name) => join(path, name)).filter((file) => statSync(file).isFile());
}

test('a store that keeps failing is opened anew, and gets what waited', async () => {
  const place = join(folder, 'anew', 'journal');
  const journal = new JournalWriter({ folder: place, durability: 'process' });
  const row = exchange();
  await journal.append({ kind: 'x', json: JSON.stringify(row) });
  const taken: string[] = [];
  let opened = 0;
  // what a dead embedded database does: it never answers rightly again, not even to be closed
  const fake = (good: boolean) => ({
    addExchanges: (rows: string[]) =>
      good ? Promise.resolve(void taken.push(...rows)) : Promise.reject(new Error('dead')),
    close: () => (good ? Promise.resolve() : Promise.reject(new Error('dead'))),
  });
  const open = async () => fake(++opened > 1) as unknown as Store;
  const drain = new Drain({ folder: place, open, onStatus: () => {} });
  const running = drain.run();
  journal.rotate();
  await drain.arrival(journal.segment);
  expect(taken.map((json) => JSON.parse(json).id)).toEqual([row.id]);
  expect(opened).toBe(2);
  drain.stop();
  await running;
  await journal.close();
});

describe.skipIf(!binaries)('with PostgreSQL away', () => {
  const prepared = (recorder: Recorder, content: string) => {
    const { request: _, response: __, redactions: ___, ...rest } = exchange();
    return { rest, request: recorder.prepare({ content }), response: recorder.prepare(null) };
  };

  test('recording goes on into the journal, and everything arrives when it is back', async () => {
    const statuses: boolean[] = [];
    const recorder = new Recorder({
      workspace: join(folder, 'away'),
      databaseUrl: postgres!.url,
      onStatus: ({ connected }) => statuses.push(connected),
    });
    const sent: string[] = [];
    const record = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const { rest, request, response } = prepared(recorder, `n${i}`);
        await recorder.record(rest, request, response);
        sent.push(rest.id);
      }
    };
    try {
      await record(50);
      await recorder.settled(20_000);
      await postgres!.crash();
      const started = performance.now();
      await record(700);
      // the database is away, and nobody waits for it
      expect(performance.now() - started).toBeLessThan(5_000);
      await expect(recorder.settled(500)).rejects.toThrow(StoreAwayError);
      expect((await recorder.status()).connected).toBe(false);
      expect((await recorder.status()).waitingBytes).toBeGreaterThan(100_000);
      await postgres!.start();
      await recorder.settled(30_000);
      const stored: string[] = [];
      for (let after: string | undefined; ; after = stored.at(-1)) {
        const page = await recorder.store.page({ filter: {}, after, limit: 500 });
        stored.push(...page.map((row) => row.id));
        if (page.length < 500) break;
      }
      expect(sent.filter((id) => !stored.includes(id))).toEqual([]);
      expect(new Set(stored).size).toBe(stored.length);
      expect(statuses).toEqual(expect.arrayContaining([true, false]));
      expect(statuses.at(-1)).toBe(true);
    } finally {
      await recorder.close();
    }
  });
});
