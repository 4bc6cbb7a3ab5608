import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeSetAside, setAside } from './set-aside.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cupel-set-aside-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const put = (row: object) => setAside(folder, { kind: 'x', json: JSON.stringify(row) });
const left = () => readFileSync(join(folder, 'rejected.jsonl'), 'utf8').split('\n').filter(Boolean);
const ids = () => left().map((line) => JSON.parse(JSON.parse(line).json).id);

test('what was refused is removed by user, tag, model and age like what was stored', () => {
  expect(removeSetAside(folder, { user: 'ann' })).toBe(0);
  const at = (day: number) => `2026-11-0${day}T00:00:00.000Z`;
  put({ id: 1, at: at(1), user_id: 'ann', model: 'm', tags: { app: 'a', team: 't' }, outcome: 'complete' });
  put({ id: 2, at: at(2), user_id: 'bob', model: 'm', tags: { app: 'a' }, outcome: 'complete' });
  put({ id: 3, at: at(3), user_id: 'bob', model: 'n', tags: null, outcome: 'cut' });
  put({ id: 4, at: at(4), user_id: null, model: 'm', tags: { app: 'b' }, outcome: 'complete' });
  expect(removeSetAside(folder, { user: 'eve' })).toBe(0);
  expect(ids()).toEqual([1, 2, 3, 4]);
  expect(removeSetAside(folder, { user: 'ann', tags: { app: 'a' } })).toBe(1);
  expect(removeSetAside(folder, { since: at(3), until: at(4) })).toBe(1);
  expect(ids()).toEqual([2, 4]);
  expect(removeSetAside(folder, { model: 'm', complete: true })).toBe(2);
  expect(left()).toEqual([]);
});

test('a line that cannot be read stays for somebody to look at', () => {
  setAside(folder, { kind: 'x', json: '{"at": "2026' });
  expect(removeSetAside(folder, { until: '2030' })).toBe(0);
  expect(left()).toHaveLength(1);
});
