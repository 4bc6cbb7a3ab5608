// The commands around recordings, with a gateway that runs in another process and without.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MockUpstream, mockUpstream } from '../../test/mock-upstream.ts';
import { type RecordProcess, startRecordProcess } from '../../test/record-process.ts';
import { CupelError } from '../base/errors.ts';
import { importTraces } from '../curate/import.ts';
import { runExport } from './export.ts';
import { upstreamOf } from './record.ts';
import { withRecordings } from './recordings.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-record-'));
const workspace = join(folder, 'workspace');
let upstream: MockUpstream;
let gateway: RecordProcess | undefined;

beforeAll(async () => {
  upstream = await mockUpstream();
  gateway = await startRecordProcess(workspace, upstream.url, 'keys-once-made');
});
afterAll(async () => {
  gateway?.child.kill('SIGKILL');
  await upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

const lines = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

test('recordings are exported while the gateway runs, imported, and still there when it has stopped', async () => {
  const { key } = await withRecordings(workspace, (all) => all.addKey({ name: 'app' }));
  const ask = (path: string, body: object, tag: string) =>
    fetch(`${gateway!.url}/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, 'x-cupel-tag-team': tag },
      body: JSON.stringify(body),
    });
  for (let i = 0; i < 30; i++) {
    const content = `question ${i} about ${i * 31} apples`;
    await ask('chat/completions', { model: 'gpt-4o', messages: [{ role: 'user', content }] }, i < 20 ? 'a' : 'b');
  }
  await ask('embeddings', { model: 'e', input: 'x' }, 'a');
  const run = (output: string, more: object = {}) =>
    withRecordings(workspace, (all) => runExport(all, { workspace, output: join(folder, output), ...more }));

  expect(await run('all.jsonl')).toMatchObject({ rows: 30, leftOut: 1 });
  const rows = lines(join(folder, 'all.jsonl'));
  expect(rows[3]).toMatchObject({
    model: 'gpt-4o',
    finish_reason: 'stop',
    usage: { prompt_tokens: 20 },
    tags: { team: 'a' },
    messages: [
      { role: 'user', content: 'question 3 about 93 apples' },
      { role: 'assistant', content: 'echo: question 3 about 93 apples' },
    ],
  });
  expect(await run('b.parquet', { tag: { team: 'b' } })).toMatchObject({ rows: 10 });
  const file = await asyncBufferFromFile(join(folder, 'b.parquet'));
  expect((await parquetReadObjects({ file })).map(({ id }) => id)).toEqual(rows.slice(20).map(({ id }) => id));

  expect(await gateway!.end('SIGTERM')).toBe(0);
  expect(await run('raw.jsonl', { raw: true })).toMatchObject({ rows: 31 });
  expect(lines(join(folder, 'raw.jsonl'))[0]).toMatchObject({
    endpoint: 'chat/completions',
    status: 200,
    feedback: [],
  });
  await expect(run('none.jsonl', { user: 'nobody' })).rejects.toThrow(/no recorded conversation/);

  for (const name of ['all.jsonl', 'raw.jsonl']) {
    const facts = await importTraces({ traces: join(folder, name), folder: mkdtempSync(join(folder, 'import-')) });
    expect(facts).toMatchObject({ accepted: 30, withUsage: 30, models: { 'gpt-4o': 30 } });
  }
  const fromParquet = { traces: join(folder, 'b.parquet'), folder: mkdtempSync(join(folder, 'import-')) };
  expect(await importTraces(fromParquet)).toMatchObject({ accepted: 10, rejected: 0, withUsage: 10 });
  expect(await withRecordings(workspace, (all) => all.remove({ tags: { team: 'a' } }))).toBe(21);
});

describe('upstreams', () => {
  const env = { OPENAI_API_KEY: 'o', OTHER: 'x' };
  test.each([
    ['https://api.openai.com/v1', { url: 'https://api.openai.com/v1', key: 'o' }],
    ['https://openai.com.evil.io/v1', { url: 'https://openai.com.evil.io/v1', key: undefined }],
    [
      'http://127.0.0.1:8000/v1,key=OTHER,model=m,name=n',
      { url: 'http://127.0.0.1:8000/v1', key: 'x', model: 'm', name: 'n' },
    ],
    ['http://h/v1,key=OTHER,header=api-key', { url: 'http://h/v1', key: 'x', header: 'api-key' }],
  ])('%s', (spec, expected) => expect(upstreamOf(spec, env)).toMatchObject(expected));

  test.each(['http://h/v1,key=ABSENT', 'http://h/v1,colour=red', 'http://h/v1,model=', 'http://h/v1,header=a b'])(
    'refused: %s',
    (spec) => {
      expect(() => upstreamOf(spec, env)).toThrow(CupelError);
    },
  );
});
