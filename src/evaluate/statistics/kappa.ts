// Cohen's kappa: agreement of two judges beyond what chance would give.

/** 1 is full agreement, 0 that of chance; NaN when there are no items. Cohen, "A coefficient of agreement", 1960. */
export function kappa(a: readonly string[], b: readonly string[]): number {
  const n = a.length;
  const labels = [...new Set([...a, ...b])];
  const share = (values: readonly string[], label: string) => values.filter((value) => value === label).length / n;
  const observed = a.filter((label, i) => label === b[i]).length / n;
  const expected = labels.reduce((sum, label) => sum + share(a, label) * share(b, label), 0);
  // judges that give one and the same label to everything agree, though nothing could be told from it
  return expected === 1 ? 1 : (observed - expected) / (1 - expected);
}
