// Where the student is weak: by field, by confused labels, and by slice (the values of the rows' tags).
import type { ScoredItem } from './evaluate.ts';

export interface Confusion {
  expected: string;
  predicted: string;
  count: number;
}

export interface Slice {
  tag: string;
  value: string;
  n: number;
  student: number;
  teacher: number;
}

/** Mean score of each field, over the items where it occurs. */
export function fieldMeans(items: readonly ScoredItem[]): Record<string, number> {
  const sums = new Map<string, { sum: number; n: number }>();
  for (const item of items) {
    for (const [field, score] of Object.entries(item.fields ?? {})) {
      const { sum, n } = sums.get(field) ?? { sum: 0, n: 0 };
      sums.set(field, { sum: sum + score, n: n + 1 });
    }
  }
  return Object.fromEntries([...sums].map(([field, { sum, n }]) => [field, sum / n]));
}

/** Pairs of wanted and given label, right ones included, the most frequent first. */
export function confusionsOf(items: readonly ScoredItem[]): Confusion[] {
  const counts = new Map<string, Confusion>();
  for (const { label } of items) {
    if (!label) continue;
    const key = JSON.stringify(label);
    const known = counts.get(key);
    if (known) known.count++;
    else counts.set(key, { ...label, count: 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

/** Tags whose values repeat; a tag with a value of its own for each row (a user's id) makes no slices. */
export function slicesOf(items: readonly ScoredItem[]): Slice[] {
  const groups = new Map<string, ScoredItem[]>();
  for (const item of items) {
    for (const [tag, value] of Object.entries(item.tags ?? {})) {
      const key = JSON.stringify([tag, value]);
      const group = groups.get(key);
      if (group) group.push(item);
      else groups.set(key, [item]);
    }
  }
  return [...groups]
    .filter(([, members]) => members.length >= 5)
    .map(([key, members]) => {
      const [tag, value] = JSON.parse(key) as [string, string];
      const mean = (pick: (item: ScoredItem) => number) =>
        members.reduce((sum, item) => sum + pick(item), 0) / members.length;
      const [student, teacher] = [mean((item) => item.studentScore), mean((item) => item.teacherScore)];
      return { tag, value, n: members.length, student, teacher };
    })
    .sort((a, b) => a.tag.localeCompare(b.tag) || b.n - a.n);
}
