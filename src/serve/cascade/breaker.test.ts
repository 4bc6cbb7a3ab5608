import { expect, test } from 'vitest';
import { Breaker, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, MOST_FAILURES } from './breaker.ts';

function failing(): { breaker: Breaker; clock: { now: number } } {
  const clock = { now: 0 };
  const breaker = new Breaker(() => clock.now);
  for (let i = 0; i < MOST_FAILURES; i++) {
    expect(breaker.admits()).toBe(true);
    breaker.failed();
  }
  return { breaker, clock };
}

test('after failures in a row nobody is let through, then one, and all when it answered', () => {
  const { breaker, clock } = failing();
  expect([breaker.away, breaker.admits()]).toEqual([true, false]);
  clock.now = FIRST_PAUSE_MS;
  expect([breaker.admits(), breaker.admits()]).toEqual([true, false]);
  breaker.succeeded();
  expect([breaker.away, breaker.admits(), breaker.admits()]).toEqual([false, true, true]);
});

test('each try that fails doubles the pause, up to the longest', () => {
  const { breaker, clock } = failing();
  let pause = FIRST_PAUSE_MS;
  for (let i = 0; i < 10; i++) {
    clock.now += pause - 1;
    expect(breaker.admits()).toBe(false);
    clock.now += 1;
    expect(breaker.admits()).toBe(true);
    breaker.failed();
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
  expect(pause).toBe(LONGEST_PAUSE_MS);
});

test('failures with answers in between are forgotten; a caller that leaves lets the next one try', () => {
  const { breaker, clock } = failing();
  clock.now = FIRST_PAUSE_MS;
  expect(breaker.admits()).toBe(true);
  breaker.leftOpen();
  expect(breaker.admits()).toBe(true);
  breaker.succeeded();
  for (let i = 0; i < 3 * MOST_FAILURES; i++) {
    if (i % 2 === 0) breaker.failed();
    else breaker.succeeded();
  }
  expect(breaker.away).toBe(false);
});
