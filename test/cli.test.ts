// The command line from outside: exit codes, one JSON document on stdout, reruns, kills.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeTinyStudent } from './tiny-student.ts';

const BIN = fileURLToPath(new URL('../bin/cupel.mjs', import.meta.url));
const THINGS = 'apple brick cloud daisy eagle flute grape horse igloo jelly koala lemon mango night ocean piano'.split(
  ' ',
);
let root: string;
let traces: string;
let student: string;

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function cupel(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], { cwd: root }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const training = (...more: string[]) => ['--student', student, '--rank', '2', '--batch-tokens', '128', ...more];
const answered = (thing: string, other: string, i: number) => ({
  model: 'gpt-4o',
  messages: [
    { role: 'user', content: `${thing} ${other}` },
    { role: 'assistant', content: ['red', 'blue', 'green'][i % 3] },
  ],
});
const linesOf = (path: string) => readFileSync(path, 'utf8').trim().split('\n').length;
const jsonl = (rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cupel-cli-'));
  traces = join(root, 'traces.jsonl');
  student = join(root, 'tiny.gguf');
  writeTinyStudent(student);
  writeFileSync(traces, jsonl(THINGS.flatMap((a, i) => THINGS.slice(0, 6).map((b, j) => answered(a, b, i + j)))));
});

describe('cupel', () => {
  test('every command has help with an example', async () => {
    const { stdout } = await cupel('--help');
    const names = [...stdout.matchAll(/^ {2}(\w+) /gm)].map((match) => match[1]).filter((name) => name !== 'help');
    expect(names).toEqual(
      expect.arrayContaining(['run', 'demo', 'import', 'distill', 'compress', 'evaluate', 'serve', 'report', 'doctor']),
    );
    const helps = await Promise.all(names.map((name) => cupel(name, '--help')));
    expect(helps.filter(({ stdout: text }) => !/Example/.test(text)).map(({ stdout: text }) => text)).toEqual([]);
  });

  test('wrong options end with code 2 and name what is wrong', async () => {
    const wrong = await cupel('run', traces, '--budget', 'soon');
    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toMatch(/--budget.*soon/s);
    expect(await cupel('run', 'nowhere.jsonl')).toMatchObject({ code: 2, stdout: '' });
    expect((await cupel('distil')).code).toBe(2);
  });

  test('run --json prints one document; a rerun does nothing again and says the same', async () => {
    const args = ['run', traces, ...training('--steps', '3'), '--json', '-w', join(root, 'ws')];
    const first = await cupel(...args);
    expect(first).toMatchObject({ code: 0 });
    const result = JSON.parse(first.stdout);
    expect(result).toMatchObject({
      verdict: 'not proven',
      quality: { teacher: 1, n: linesOf(join(JSON.parse(first.stdout).artifacts.import, 'test.jsonl')) },
      cost: { teacherPer1k: expect.any(Number), studentPer1k: expect.any(Number), share: expect.any(Number) },
    });
    expect(result.reasons.length).toBeGreaterThan(0);
    const evaluation = JSON.parse(readFileSync(join(result.artifacts.evaluate, 'manifest.json'), 'utf8'));
    expect(evaluation.facts.looks).toBe(1);
    expect(existsSync(result.model)).toBe(true);
    expect(/not proven/i.test(readFileSync(result.report, 'utf8'))).toBe(true);
    expect(Object.keys(result.artifacts)).toEqual(['import', 'distill', 'compress', 'evaluate', 'report']);
    const again = await cupel(...args);
    expect(JSON.parse(again.stdout)).toEqual(result);
    expect(again.stderr.match(/already done/g)).toHaveLength(5);
    const strict = await cupel(...args, '--require-proof');
    expect(strict.code).toBe(3);
  });

  test('each kind of bad row is listed by its line; the good ones go on', async () => {
    const good = THINGS.map((thing, i) => answered(thing, 'x', i));
    const rows = [
      ...good.slice(0, 4).map((row) => JSON.stringify({ ...row, id: row.messages[0].content })),
      '{"messages": [',
      JSON.stringify({ messages: [{ role: 'user', content: 'no answer' }] }),
      JSON.stringify({
        messages: [
          { role: 'user', content: 'empty' },
          { role: 'assistant', content: '' },
        ],
      }),
      JSON.stringify({ ...good[5], id: good[0].messages[0].content }),
      JSON.stringify(answered('long '.repeat(60), 'x', 1)),
      JSON.stringify({ messages: 'none' }),
      ...good.slice(6).map((row) => JSON.stringify(row)),
    ];
    const file = join(root, 'bad.jsonl');
    writeFileSync(file, `${rows.join('\n')}\n`);
    const { code, stdout } = await cupel('import', file, '--max-characters', '250', '--json', '-w', join(root, 'bad'));
    expect(code).toBe(0);
    const facts = JSON.parse(stdout);
    expect(facts).toMatchObject({ rows: 20, accepted: 14, rejected: 6 });
    const rejects = readFileSync(join(facts.artifact, 'rejects.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rejects.map(({ line, reason }) => [line, reason.split(/[:,]/)[0]])).toEqual([
      [5, 'not JSON'],
      [6, expect.stringMatching(/assistant|answer/)],
      [7, expect.stringMatching(/empty/)],
      [8, 'duplicate id'],
      [9, 'over-long'],
      [10, expect.any(String)],
    ]);
    writeFileSync(file, '{\n[]\n');
    const none = await cupel('import', file, '-w', join(root, 'bad'));
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/bad\.jsonl:1.*none of 2 rows/s);
  });

  test('kill -9 while training: the rerun goes on from the last checkpoint, and nothing is left locked', async () => {
    const workspace = join(root, 'killed');
    const args = ['run', traces, ...training('--budget', '12s', '--max-epochs', '100000'), '--json', '-w', workspace];
    const child = spawn(process.execPath, [BIN, ...args], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
    await checkpointOf(workspace, child);
    child.kill('SIGKILL');
    const again = await cupel(...args);
    expect(again.code).toBe(0);
    expect(again.stderr).toMatch(/goes on from step [1-9]/);
    expect(JSON.parse(again.stdout).verdict).toBe('not proven');
  });

  test('--full trains every weight, and what comes out is exported, served and evaluated', async () => {
    const workspace = join(root, 'full');
    const refused = await cupel('run', traces, ...training('--full'), '-w', workspace);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--rank')]);
    const bits = await cupel('run', traces, '--student', student, '--full', '--precision', 'int4', '-w', workspace);
    expect([bits.code, bits.stderr]).toEqual([2, expect.stringContaining('--precision int8 or float32')]);
    const args = [
      '--student',
      student,
      '--full',
      '--precision',
      'int8',
      '--batch-tokens',
      '128',
      '--steps',
      '6',
      '--json',
      '-w',
      workspace,
    ];
    const { code, stdout } = await cupel('run', traces, ...args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ verdict: 'not proven', quality: { n: expect.any(Number) } });
  });

  test('--ffn-density trains a narrower model, and that is what is exported, served and evaluated', async () => {
    const workspace = join(root, 'narrow');
    const options = ['--ffn-density', '0.5', '--ffn-steps', '2', '--batch-tokens', '128', '--steps', '6'];
    const refused = await cupel('run', traces, '--student', student, ...options, '--first-layer', '1', '-w', workspace);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--first-layer')]);
    const { code, stdout } = await cupel('run', traces, '--student', student, ...options, '--json', '-w', workspace);
    expect(code).toBe(0);
    const { model, quality } = JSON.parse(stdout);
    expect(quality.n).toBeGreaterThan(0);
    const parameters = async (path: string): Promise<number> =>
      JSON.parse((await cupel('models', 'inspect', path, '--json')).stdout).parameters.total;
    // half of gate, up and down of both layers: 64 of 128 channels, width 64
    expect((await parameters(student)) - (await parameters(model))).toBe(2 * 3 * 64 * 64);
  });

  test('Ctrl-C stops with code 130 and keeps what is done', async () => {
    const { child, stderr } = await trainingRun('interrupted');
    const ended = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(stderr()).toContain('run the same command again to continue');
  });

  test('Ctrl-C twice ends at once, and no thread has a last word', async () => {
    const { child, stderr } = await trainingRun('interrupted-twice');
    const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)));
    child.kill('SIGINT');
    await expect.poll(() => /stopping/.test(stderr()), { interval: 1, timeout: 10_000 }).toBe(true);
    child.kill('SIGINT');
    // it may have stopped by itself in between
    expect(['SIGINT', 130]).toContain(await ended);
    expect(stderr()).not.toContain('terminate called');
  });
});

/** A run that is taking steps. */
async function trainingRun(workspace: string): Promise<{ child: ChildProcess; stderr: () => string }> {
  const options = training('--budget', '60s', '--max-epochs', '100000');
  const args = [BIN, 'run', traces, ...options, '-w', join(root, workspace)];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  const stderr = collect(child);
  await expect.poll(() => /distill: .*steps/.test(stderr()), { timeout: 60_000 }).toBe(true);
  return { child, stderr };
}

function collect(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk) => {
    text += chunk;
  });
  return () => text;
}

/** Waits until training has written a checkpoint. */
async function checkpointOf(workspace: string, child: ChildProcess): Promise<void> {
  const stderr = collect(child);
  const artifacts = join(workspace, 'artifacts');
  const found = () => {
    const folder = existsSync(artifacts) && readdirSync(artifacts).find((name) => /^distill-.*\.partial$/.test(name));
    const checkpoints = folder && join(artifacts, folder, '.checkpoints');
    return Boolean(
      checkpoints && existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.endsWith('.ckpt')),
    );
  };
  await expect.poll(found, { timeout: 60_000, message: stderr() }).toBe(true);
}
