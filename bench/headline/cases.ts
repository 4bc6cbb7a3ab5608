// Items of one case: those that share, in what is asked, a text or long passages of it. They must not be on both sides of a test.
import { Groups } from '../../src/base/similarity.ts';
import { clusterRows } from '../../src/curate/split.ts';

/** As the import takes near-duplicates. */
const NEAR = 0.7;

/** Number of each item's case. @param asked what is asked about each item, perhaps in several rows */
export function casesOf(asked: readonly (readonly string[])[]): number[] {
  const rows = asked.flatMap((texts, item) => texts.map((text) => ({ item, text })));
  const clusters = clusterRows(
    rows.map(({ text }) => ({ messages: [{ role: 'user', content: text }], content: text })),
    NEAR,
  );
  const groups = new Groups(asked.length);
  const first = new Map<number, number>();
  rows.forEach(({ item }, i) => {
    const cluster = clusters.of[i];
    if (first.has(cluster)) groups.join(first.get(cluster)!, item);
    else first.set(cluster, item);
  });
  return asked.map((_, item) => groups.find(item));
}
