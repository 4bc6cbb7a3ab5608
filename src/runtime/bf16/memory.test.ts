import { expect, test } from 'vitest';
import { Random } from '../../base/random.ts';
import { arrange, type Buffer, type Use } from './memory.ts';

test('buffers that live at the same time never share memory, and those that do not mostly do', () => {
  const random = new Random(1);
  for (let round = 0; round < 50; round++) {
    const uses = new Map<Buffer, Use>();
    for (let i = 0; i < 80; i++) {
      const first = random.below(100);
      uses.set({ bytes: 1 + random.below(5000), slot: null }, { first, last: first + random.below(20) });
    }
    const { offsets, bytes } = arrange(uses);
    const placed = [...uses].map(([buffer, use]) => ({
      ...use,
      start: offsets.get(buffer)!,
      end: offsets.get(buffer)! + buffer.bytes,
    }));
    for (const [i, a] of placed.entries()) {
      expect(a.start % 128).toBe(0);
      expect(a.end).toBeLessThanOrEqual(bytes);
      for (const b of placed.slice(i + 1))
        if (a.first <= b.last && b.first <= a.last) expect(a.end <= b.start || b.end <= a.start).toBe(true);
    }
    const together = Array.from({ length: 120 }, (_, at) =>
      placed.reduce((sum, { first, last, start, end }) => (first <= at && at <= last ? sum + end - start : sum), 0),
    );
    expect(bytes).toBeLessThan(1.6 * Math.max(...together) + 128 * 80);
  }
});
