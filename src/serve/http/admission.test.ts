// The queue: bounds, turns, and leaving while waiting.
import { expect, it } from 'vitest';
import { Admission } from './admission.ts';
import { ApiError } from './errors.ts';

const stays = new AbortController().signal;

it('callers take turns, however much one of them asks', async () => {
  const queue = new Admission({ running: 1, queue: 10 });
  const order: string[] = [];
  const leaves: (() => void)[] = [];
  const ask = (caller: string, name: string) =>
    queue.enter(caller, 1, stays).then((leave) => {
      order.push(name);
      leaves.push(leave);
    });
  const all = [ask('a', 'a1'), ask('a', 'a2'), ask('a', 'a3'), ask('b', 'b1'), ask('c', 'c1'), ask('b', 'b2')];
  for (let turn = 0; turn < all.length; turn++) {
    while (leaves.length === 0) await new Promise((done) => setImmediate(done));
    leaves.shift()!();
  }
  await Promise.all(all);
  expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2']);
});

it('refuses beyond its bounds and has room again afterwards', async () => {
  const queue = new Admission({ running: 1, queue: 1 });
  const leave = await queue.enter('a', 1, stays);
  const second = queue.enter('a', 1, stays);
  await expect(queue.enter('b', 1, stays)).rejects.toMatchObject({ status: 429, code: 'queue_full' });
  await expect(queue.enter('b', 1, stays)).rejects.toBeInstanceOf(ApiError);
  leave();
  (await second)();
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
  (await queue.enter('b', 1, stays))();
});

it('who leaves while waiting takes no place', async () => {
  const queue = new Admission({ running: 1, queue: 2 });
  const leave = await queue.enter('a', 1, stays);
  const leaving = new AbortController();
  const waiting = queue.enter('b', 1, leaving.signal);
  leaving.abort(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  expect(queue.load).toEqual({ running: 1, waiting: 0 });
  leave();
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
});
