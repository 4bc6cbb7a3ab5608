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
    queue.enter(caller, stays).then((leave) => {
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
  const leave = await queue.enter('a', stays);
  const second = queue.enter('a', stays);
  await expect(queue.enter('b', stays)).rejects.toMatchObject({ status: 429, code: 'queue_full' });
  await expect(queue.enter('b', stays)).rejects.toBeInstanceOf(ApiError);
  leave();
  (await second)();
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
  (await queue.enter('b', stays))();
});

it('who leaves while waiting takes no place', async () => {
  const queue = new Admission({ running: 1, queue: 2 });
  const leave = await queue.enter('a', stays);
  const leaving = new AbortController();
  const waiting = queue.enter('b', leaving.signal);
  leaving.abort(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  expect(queue.load).toEqual({ running: 1, waiting: 0 });
  leave();
  expect(queue.load).toEqual({ running: 0, waiting: 0 });
});

it('one caller that floods the queue does not keep another out', async () => {
  const queue = new Admission({ running: 1, queue: 4 });
  const leave = await queue.enter('flood', stays);
  const refused: number[] = [];
  const flood = Array.from({ length: 4 }, (_, i) =>
    queue.enter('flood', stays).then(
      (done) => done(),
      (error: ApiError) => {
        expect(error.status).toBe(429);
        refused.push(i);
      },
    ),
  );
  await expect(queue.enter('flood', stays)).rejects.toMatchObject({ status: 429 });
  const quiet = queue.enter('quiet', stays);
  expect(queue.load).toEqual({ running: 1, waiting: 4 });
  leave();
  (await quiet)();
  await Promise.all(flood);
  expect(refused).toEqual([3]);
});

it('each answer of a large request takes a turn', async () => {
  const queue = new Admission({ running: 1, queue: 1 });
  const order: string[] = [];
  const one = async (caller: string, name: string, further: boolean) => {
    const leave = await queue.enter(caller, stays, further);
    order.push(name);
    await new Promise((done) => setImmediate(done));
    leave();
  };
  await Promise.all([one('a', 'a1', false), one('a', 'a2', true), one('a', 'a3', true), one('b', 'b1', false)]);
  expect(order).toEqual(['a1', 'a2', 'b1', 'a3']);
});
