import { expect, test } from 'vitest';
import { formatBytes, formatDuration, parseDuration } from './duration.ts';
import { CupelError } from './errors.ts';

test.each([
  ['90', 90],
  ['90s', 90],
  ['10m', 600],
  ['1h30m', 5400],
  ['1.5h', 5400],
])('%s is %d seconds', (text, seconds) => {
  expect(parseDuration(text, '--budget')).toBe(seconds);
});

test.each(['', 'ten', '10x', '10m later', '-5m', '0', '5m-'])('"%s" is refused with the field named', (text) => {
  try {
    parseDuration(text, '--budget');
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(CupelError);
    expect((error as CupelError).place.field).toBe('--budget');
  }
});

test('durations and sizes read well', () => {
  expect([45, 200, 3900].map(formatDuration)).toEqual(['45s', '3m 20s', '1h 5m']);
  expect([1.5e9, 3.4e8, 12_000].map(formatBytes)).toEqual(['1.5 GB', '340 MB', '12.0 kB']);
});
