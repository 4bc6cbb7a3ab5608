// Several students' items as one result: their quality together, and a cascade whose thresholds saw other folds only.

import { confidenceOf } from '../../src/chat/confidence.ts';
import { cascadeOf } from '../../src/evaluate/cascade/cascade.ts';
import { type CascadePoint, type Judged, pointAt } from '../../src/evaluate/cascade/operating.ts';
import type { EvaluateFacts } from '../../src/evaluate/evaluate.ts';
import { EVALUATE_DEFAULTS } from '../../src/evaluate/evaluate.ts';
import { qualityOf } from '../../src/evaluate/quality.ts';
import type { FoldRun, Item } from './fold.ts';

/** Operating point of the cascade, and why the student answers nothing where it does not. */
export interface PooledCascade extends Omit<CascadePoint, 'threshold'> {
  reason?: string;
}

/**
 * Confidence and threshold of each fold's items come from all other folds' items, whose students had not seen those either;
 * of one fold, from its calibration split.
 */
export function pooledCascade(folds: readonly FoldRun[]): PooledCascade {
  if (folds.length === 1) {
    const { cascade } = folds[0].evaluation.manifest.facts as EvaluateFacts;
    const { point, reason } = cascade!;
    return shown(point, reason);
  }
  return crossCascade(folds.map(({ items }) => items));
}

export function crossCascade(folds: readonly (readonly Item[])[]): PooledCascade {
  const options = EVALUATE_DEFAULTS;
  const reasons: string[] = [];
  const judged = folds.flatMap((items, fold): Judged[] => {
    const others = folds.filter((_, i) => i !== fold).flat();
    const { calibration, point, reason } = cascadeOf(others, items, options);
    if (reason) reasons.push(reason);
    const { threshold } = point;
    const local = ({ signals, text }: Item) =>
      threshold !== null && confidenceOf(signals, text, calibration) >= threshold;
    return items.map((item) => ({ ...item, confidence: Number(local(item)) }));
  });
  return shown(pointAt(judged, 1, options), reasons.length === folds.length ? reasons[0] : undefined);
}

/** A point without its threshold, which is of one student. */
export function shown({ local, quality, ratio, lower95, n }: CascadePoint, reason?: string): PooledCascade {
  return { local, quality, ratio, lower95, n, ...(reason ? { reason } : {}) };
}

/** The facts of an evaluation of all folds' items; speed and tokens for an item, which may take several requests. */
export function pooledFacts(folds: readonly FoldRun[], teacher: EvaluateFacts['teacher']): EvaluateFacts {
  const facts = folds.map(({ evaluation }) => evaluation.manifest.facts as EvaluateFacts);
  const items = folds.flatMap((fold) => fold.items);
  const sum = (pick: (one: EvaluateFacts) => number) => facts.reduce((total, one) => total + pick(one), 0);
  const busySeconds = sum(({ speed }) => speed.busySeconds);
  const [first] = facts;
  return {
    ...first,
    quality: qualityOf(items, EVALUATE_DEFAULTS),
    speed: { ...first.speed, busySeconds, requestsPerSecond: items.length / busySeconds },
    teacher,
    contamination: {
      nearDuplicates: sum(({ contamination }) => contamination.nearDuplicates),
      passages: sum(({ contamination }) => contamination.passages),
      items: facts.flatMap(({ contamination }) => contamination.items),
    },
    notes: [...new Set(facts.flatMap(({ notes }) => notes))],
  };
}
