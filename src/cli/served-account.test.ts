// What was answered and spent while serving survives restarts and reaches the ledger.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { readServed, servedFileOf } from '../report/served.ts';
import { ServedAccount } from './served-account.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-served-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('two servers, one after the other, add up; a bad line is named', async () => {
  const model = join(root, 'student.gguf');
  expect(await readServed(model)).toBeUndefined();
  for (const usd of [0.25, 0.5]) {
    const account = new ServedAccount(model);
    account.answered('student');
    account.answered('student');
    account.answered('teacher');
    account.spent(usd);
    account.flush();
    account.flush();
    account.spent(0.125);
    account.close();
  }
  expect(readFileSync(servedFileOf(model), 'utf8').trim().split('\n')).toHaveLength(4);
  expect(await readServed(model)).toMatchObject({ student: 4, teacher: 2, usd: 1 });
  appendFileSync(servedFileOf(model), '{"at":"yesterday"}\n');
  await expect(readServed(model)).rejects.toThrow(/not a line/);
});

test('nothing to say makes no file; what cannot be written is told once and waits', () => {
  const quiet = new ServedAccount(join(root, 'quiet.gguf'));
  quiet.close();
  expect(existsSync(servedFileOf(join(root, 'quiet.gguf')))).toBe(false);
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const account = new ServedAccount(join(root, 'absent', 'student.gguf'));
  account.spent(1);
  account.flush();
  account.close();
  expect(told).toHaveBeenCalledTimes(1);
  told.mockRestore();
});
