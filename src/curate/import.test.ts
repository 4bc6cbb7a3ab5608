// The import stage: every kind of bad row, the split, and what must never be in two splits.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CupelError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import { distinctiveShingles, jaccard } from '../base/similarity.ts';
import type { Example } from '../chat/messages.ts';
import { type ImportOptions, importTraces, type Reject } from './import.ts';
import { askedText } from './split.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-import-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function write(lines: (string | Buffer | object)[]): string {
  const path = join(folder, `traces-${files++}.jsonl`);
  const bytes = lines.map((line) =>
    Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
  );
  writeFileSync(path, Buffer.concat(bytes.flatMap((line) => [line, Buffer.from('\n')])));
  return path;
}

async function run(traces: string, more: { test?: string; options?: Partial<ImportOptions> } = {}) {
  const out = mkdtempSync(join(folder, 'out-'));
  const facts = await importTraces({ traces, folder: out, ...more });
  const read = <T>(name: string): T[] =>
    readFileSync(join(out, name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as T);
  const splits = {
    train: read<Example>('train.jsonl'),
    calibration: read<Example>('calibration.jsonl'),
    test: read<Example>('test.jsonl'),
  };
  return { facts, splits, all: Object.values(splits).flat(), rejects: read<Reject>('rejects.jsonl') };
}

const good = (user = 'where is my parcel', answer = 'track_order') => ({
  messages: [
    { role: 'user', content: user },
    { role: 'assistant', content: answer },
  ],
});
const withMessages = (...messages: unknown[]) => ({ messages });
const user = { role: 'user', content: 'hello there' };
const assistant = { role: 'assistant', content: 'hi' };

describe('bad rows', () => {
  const cases: [string, string | Buffer | object, RegExp][] = [
    ['not JSON', '{"messages": [', /^not JSON/],
    ['a list', '[1, 2]', /not a JSON object but an array/],
    ['a string', '"text"', /not a JSON object but string/],
    ['null', 'null', /not a JSON object but null/],
    ['no messages', { prompt: 'x' }, /^messages: the field is missing/],
    ['messages of the wrong type', { messages: 'x' }, /^messages: .*array/],
    ['no turns', { messages: [] }, /no assistant turn/],
    ['no assistant turn', withMessages(user), /no assistant turn/],
    ['an unknown role', withMessages(user, { role: 'bot', content: 'x' }), /^messages\[1\]\.role/],
    ['content of the wrong type', withMessages(user, { role: 'assistant', content: 7 }), /^messages\[1\]\.content/],
    ['an empty answer', withMessages(user, { role: 'assistant', content: '  ' }), /empty answer/],
    ['a null answer', withMessages(user, { role: 'assistant', content: null }), /empty answer/],
    ['an empty question', withMessages({ role: 'user', content: '' }, assistant), /empty user turn/],
    ['no question', withMessages({ role: 'system', content: 'x' }, assistant), /no user turn/],
    ['too many characters', good('long '.repeat(100)), /^over-long: 511 characters, the limit is 400/],
    ['too long a line', good('x'.repeat(3000)), /^over-long: the line has more than 2000 bytes/],
    ['a repeated id', { id: 'first', ...good('another question') }, /duplicate id: "first" is on line 1 too/],
    ['the same row and id again', { id: 'first', ...good() }, /duplicate id/],
    ['usage of the wrong type', { ...good('priced'), usage: { prompt_tokens: 'many' } }, /^usage\.prompt_tokens/],
    ['tags of the wrong type', { ...good('tagged'), tags: ['zh'] }, /^tags/],
    ['a number for a model', { ...good('modelled'), model: 4 }, /^model/],
    [
      'half a character',
      '{"messages":[{"role":"user","content":"x\\ud83d"},{"role":"assistant","content":"y"}]}',
      /surrogate/,
    ],
    ['bytes that are not UTF-8', Buffer.concat([Buffer.from('{"messages":"'), Buffer.from([0xff, 0xfe])]), /not UTF-8/],
  ];
  const options = { maxCharacters: 400, maxLineBytes: 2000 };
  const first = { id: 'first', ...good() };

  test.each(cases)('%s is listed with line and reason, and the good row goes on', async (_name, bad, reason) => {
    const path = write([first, '', bad]);
    const { facts, all, rejects } = await run(path, { options });
    expect(all.map((row) => row.id)).toEqual(['first']);
    expect(rejects).toMatchObject([{ file: path, line: 3, reason: expect.stringMatching(reason) }]);
    expect(facts).toMatchObject({ rows: 2, accepted: 1, rejected: 1 });
  });

  test('a file of bad rows only is an error that names the first of them', async () => {
    const path = write(['{', good('ok', ''), '[]', 'x', 'y']);
    const error = await run(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CupelError);
    expect(error).toMatchObject({ exitCode: 2, place: { file: path, line: 1 } });
    expect((error as Error).message).toMatch(/none of 5 rows.*line 1: not JSON.*line 2: empty answer.*and 2 more/);
  });

  test('an empty file and a missing file are errors', async () => {
    await expect(run(write(['', '  ']))).rejects.toMatchObject({ message: 'the file is empty', exitCode: 2 });
    await expect(run(join(folder, 'nothing.jsonl'))).rejects.toMatchObject({ message: 'no such file', exitCode: 2 });
  });
});

describe('rows', () => {
  test('the fields of a trace reach the example', async () => {
    const row = {
      id: 7,
      model: 'gpt-4o',
      messages: [
        user,
        { role: 'assistant', content: null, tool_calls: [{ function: { name: 'f', arguments: '{}' } }] },
      ],
      tools: [{ type: 'function', function: { name: 'f' } }],
      usage: { prompt_tokens: 10, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } },
      reference: { b: 1, a: [2] },
      tags: { language: 'en', tier: 2 },
    };
    const { all } = await run(write([row]));
    expect(all[0]).toMatchObject({ id: '7', model: 'gpt-4o', tools: row.tools, usage: row.usage, line: 1 });
    expect(all[0].reference).toBe('{"a":[2],"b":1}');
    expect(all[0].tags).toEqual({ language: 'en', tier: '2' });
    expect(all[0]).not.toHaveProperty('content');
  });

  test('what a message has as null, as logs write it, counts as absent', async () => {
    const nulls = { ...assistant, tool_calls: null, function_call: null, refusal: null, name: null };
    const { all, facts } = await run(write([withMessages(user, nulls), withMessages(user, assistant)]));
    expect(facts).toMatchObject({ accepted: 1, duplicates: 1, rejected: 0 });
    expect(all[0].messages).toEqual([user, assistant]);
  });

  test('turns after the last answer are cut off and counted', async () => {
    const { all, facts } = await run(write([withMessages(user, assistant, { role: 'user', content: 'thanks' })]));
    expect(all[0].messages).toHaveLength(2);
    expect(facts.trimmed).toBe(1);
  });

  test("Anthropic's usage counts cached tokens within the prompt, as OpenAI's does", async () => {
    const usage = { input_tokens: 10, output_tokens: 3, cache_read_input_tokens: 90, cache_creation_input_tokens: 7 };
    const { all } = await run(write([{ ...good(), usage }]));
    expect(all[0].usage).toMatchObject({ prompt_tokens: 107, completion_tokens: 3 });
    expect(all[0].usage?.prompt_tokens_details?.cached_tokens).toBe(90);
  });

  test('the same content under other ids is kept once; without ids it is no reject', async () => {
    const { facts } = await run(write([{ id: 'a', ...good() }, { id: 'b', ...good() }, good(), good()]));
    expect(facts).toMatchObject({ accepted: 1, duplicates: 3, rejected: 0 });
  });
});

/** Invented questions, a third of them small edits of others, all behind one long system prompt. */
function questions(count: number, seed: number): Example['messages'][] {
  const random = new Random(seed);
  const words = Array.from({ length: 400 }, (_, i) => `w${(i * 7919).toString(36)}`);
  const texts: string[] = [];
  for (let i = 0; i < count; i++) {
    const edit = i > 0 && random.next() < 0.33;
    const source = edit ? texts[random.below(i)] : Array.from({ length: 15 }, () => words[random.below(400)]).join(' ');
    texts.push(edit ? `${source} ${words[random.below(400)]}!` : source);
  }
  const system = { role: 'system' as const, content: 'You sort the messages of customers. '.repeat(30) };
  return texts.map((text, i) => [system, { role: 'user', content: text }, { role: 'assistant', content: `${i % 5}` }]);
}

describe('the split', () => {
  const rows = questions(600, 1).map((messages) => ({ messages }));

  test('does not depend on the order of rows', async () => {
    const a = await run(write(rows));
    const b = await run(write(new Random(5).shuffle([...rows])));
    for (const split of ['train', 'calibration', 'test'] as const) {
      expect(new Set(b.splits[split].map((row) => row.id))).toEqual(new Set(a.splits[split].map((row) => row.id)));
    }
    expect(a.facts.splits.test).toBeGreaterThanOrEqual(95);
    expect(a.facts.splits.test).toBeLessThanOrEqual(100);
    expect(a.facts.splits.calibration).toBeGreaterThanOrEqual(75);
  });

  test('no near-duplicate pair, found by comparing all pairs, is in two splits', async () => {
    const { splits, facts } = await run(write(rows));
    const placed = Object.entries(splits).flatMap(([split, members]) => members.map((row) => ({ split, row })));
    const sets = distinctiveShingles(placed.map(({ row }) => askedText(row.messages)));
    let pairs = 0;
    for (let i = 0; i < sets.length; i++) {
      for (let j = 0; j < i; j++) {
        if (jaccard(sets[i], sets[j]) < 0.7) continue;
        pairs++;
        expect(placed[i].split).toBe(placed[j].split);
      }
    }
    expect(pairs).toBeGreaterThan(100);
    expect(facts.nearDuplicates.clusters).toBeGreaterThan(30);
  });

  test('the recorded stages of one conversation stay together', async () => {
    const turns = (n: number, who: number) =>
      Array.from({ length: n }, (_, i) => [
        {
          role: 'user',
          content: `question ${who * 17 + i} of customer number ${who * 31} about ${'abcdefgh'[who % 8]}`,
        },
        { role: 'assistant', content: `answer ${who} ${i}` },
      ]).flat();
    const traces = Array.from({ length: 120 }, (_, who) => [1, 2, 3].map((n) => ({ messages: turns(n, who) }))).flat();
    const { splits } = await run(write(traces), { options: { nearDuplicate: 2 } });
    const places = new Map<string, Set<string>>();
    for (const [split, members] of Object.entries(splits)) {
      for (const row of members) {
        const key = JSON.stringify(row.messages[0]);
        places.set(key, (places.get(key) ?? new Set()).add(split));
      }
    }
    expect(places.size).toBe(120);
    expect([...places.values()].every((set) => set.size === 1)).toBe(true);
    expect(splits.test.length).toBeGreaterThan(50);
  });

  test('a prompt that all rows share inside the user turn does not make them near-duplicates', async () => {
    const prompt = 'Name the kind of the following message, with one word, and nothing else. Message: ';
    const shared = questions(200, 2).map((messages) => good(prompt + (messages[1].content as string)));
    const { facts } = await run(write(shared));
    expect(facts.nearDuplicates.rows).toBeLessThan(150);
    expect(facts.splits.test).toBeGreaterThan(40);
  });

  test('with a test file, training rows that nearly repeat it are left out', async () => {
    const held = write([good('My parcel with the blue lamp has not come yet, where is it?')]);
    const traces = write([
      good('my parcel with the blue lamp has not come yet, where is it'),
      good('My parcel with the blue lamp has not come yet, where is it now?'),
      good('I want to return a chair'),
      good('Please change the address of my order'),
    ]);
    const { facts, splits } = await run(traces, { test: held });
    expect(facts.droppedFromTrain).toBe(2);
    expect(splits.test).toHaveLength(1);
    expect([...splits.train, ...splits.calibration].map((row) => row.line)).toEqual([3, 4]);
  });

  test('training rows that hold a long passage of a test row are left out', async () => {
    const words = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `word${from + i}`).join(' ');
    const held = write([good(words(0, 40))]);
    const traces = write([
      good(`${words(100, 300)} ${words(0, 36)} ${words(300, 500)}`),
      good(`${words(500, 800)} ${words(0, 12)}`),
      good(words(800, 900)),
      good(words(900, 1000)),
    ]);
    const { facts, splits } = await run(traces, { test: held });
    expect([...splits.train, ...splits.calibration].map((row) => row.line).sort()).toEqual([2, 3, 4]);
    expect(facts.droppedFromTrain).toBe(1);
  });

  test('a training file that repeats the test file is an error', async () => {
    await expect(run(write([good()]), { test: write([good()]) })).rejects.toMatchObject({ exitCode: 2 });
  });
});
