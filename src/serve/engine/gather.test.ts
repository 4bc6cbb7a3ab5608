import { expect, it } from 'vitest';
import { Gathering, MOST_MS, MOST_STEPS, TILE } from './gather.ts';

it('a small prompt beside running answers waits a few steps, then goes', () => {
  const gathering = new Gathering();
  const asked = Array.from({ length: MOST_STEPS + 1 }, (_, at) => gathering.holds(20, 4, at));
  expect(asked).toEqual([...Array.from({ length: MOST_STEPS }, () => true), false]);
});

it('what fills a tile goes at once, and the wait begins anew', () => {
  const gathering = new Gathering();
  expect(gathering.holds(20, 4, 0)).toBe(true);
  expect(gathering.holds(TILE - 4, 4, 1)).toBe(false);
  expect(Array.from({ length: MOST_STEPS + 1 }, () => gathering.holds(20, 4, 2)).filter(Boolean)).toHaveLength(
    MOST_STEPS,
  );
});

it('alone it waits only where several answers have just ended together', () => {
  const gathering = new Gathering();
  expect(gathering.holds(20, 0, 0)).toBe(false);
  gathering.stepped(1, 10);
  expect(gathering.holds(20, 0, 10)).toBe(false);
  gathering.stepped(3, 20);
  expect(gathering.holds(20, 0, 20)).toBe(true);
  expect(gathering.holds(20, 0, 20 + MOST_MS)).toBe(false);
});

it('without prompts there is nothing to hold back', () => {
  const gathering = new Gathering();
  gathering.stepped(3, 0);
  expect(gathering.holds(0, 5, 1)).toBe(false);
});
