// Paired scores of student and teacher on the same items, and the groups of equal pairs that make resampling fast.

/** Scores of one item, both in [0, 1]. `cluster` names the source that items share, where they do. */
export interface Pair {
  student: number;
  teacher: number;
  cluster?: string;
}

/** Equal pairs counted once: sums of a cluster where items have one, so that clusters are resampled as a whole. */
export interface PairGroup {
  student: number;
  teacher: number;
  count: number;
}

export interface Grouped {
  groups: PairGroup[];
  /** Independent units: items, or clusters. */
  units: number;
  /** Items of the largest unit. */
  largest: number;
}

export function groupPairs(pairs: readonly Pair[]): Grouped {
  const units = new Map<string, { student: number; teacher: number; items: number }>();
  pairs.forEach((pair, i) => {
    const key = pair.cluster === undefined ? `item ${i}` : `cluster ${pair.cluster}`;
    const unit = units.get(key) ?? { student: 0, teacher: 0, items: 0 };
    units.set(key, {
      student: unit.student + pair.student,
      teacher: unit.teacher + pair.teacher,
      items: unit.items + 1,
    });
  });
  const groups = new Map<string, PairGroup>();
  for (const { student, teacher } of units.values()) {
    const key = `${student} ${teacher}`;
    const group = groups.get(key);
    if (group) group.count++;
    else groups.set(key, { student, teacher, count: 1 });
  }
  const largest = Math.max(0, ...new Set([...units.values()].map((unit) => unit.items)));
  return { groups: [...groups.values()], units: units.size, largest };
}

/** Mean scores and their ratio; the ratio is NaN when the teacher has no score at all. */
export function means(pairs: readonly Pair[]): { student: number; teacher: number; ratio: number } {
  const student = pairs.reduce((sum, pair) => sum + pair.student, 0) / pairs.length;
  const teacher = pairs.reduce((sum, pair) => sum + pair.teacher, 0) / pairs.length;
  return { student, teacher, ratio: teacher > 0 ? student / teacher : Number.NaN };
}
