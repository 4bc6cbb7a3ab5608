// Holm's correction: several tasks or slices tested at once, and still at most one in twenty wrongly found.

/** Adjusted p-values in the order given. Holm, "A simple sequentially rejective multiple test procedure", 1979. */
export function holm(p: readonly number[]): number[] {
  const order = p.map((_, i) => i).sort((a, b) => p[a] - p[b]);
  const adjusted = new Array<number>(p.length);
  let highest = 0;
  order.forEach((index, rank) => {
    highest = Math.max(highest, Math.min(1, (p.length - rank) * p[index]));
    adjusted[index] = highest;
  });
  return adjusted;
}
