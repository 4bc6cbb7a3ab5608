// The cascade of a student and its teacher: confidence and threshold from the calibration split, checked on the test split.
import { type Calibration, confidenceOf, type Signals } from '../../chat/confidence.ts';
import { CONFIDENCE, MARGIN } from '../quality.ts';
import type { Pair } from '../statistics/pairs.ts';
import { fewestItems } from '../statistics/required.ts';
import { calibrate } from './calibrate.ts';
import {
  brier,
  type CascadeOptions,
  type CascadePoint,
  chooseThreshold,
  curveOf,
  type Judged,
  pointAt,
  worthOf,
} from './operating.ts';

/** An item that the student has answered. */
export interface Answered extends Pair {
  signals: Signals;
  text: string;
}

export interface CascadeFacts extends FittedCascade {
  /** The same with further answers drawn for each item, and what drawing them took beside the answers themselves. */
  agreement?: FittedCascade & { samples: number; extraTime: number };
}

/** A confidence, its threshold, and how they do on the test split. */
export interface FittedCascade {
  calibration: Calibration;
  /** Items the confidence and the threshold were fitted on. */
  calibrated: number;
  /** On the test split: the operating point, and quality against the share answered locally. */
  point: CascadePoint;
  curve: CascadePoint[];
  /** Mean squared error of the confidence on the test split. */
  brier: number;
  /** Why the student answers nothing, when it does not. */
  reason?: string;
}

export function cascadeOf(
  calibration: readonly Answered[],
  test: readonly Answered[],
  options: CascadeOptions,
): FittedCascade {
  const fitted = calibrate(
    calibration.map(({ signals, text, student, teacher }) => ({ signals, text, worth: worthOf(student, teacher) })),
  );
  const judge = (items: readonly Answered[]): Judged[] =>
    items.map(({ signals, text, ...pair }) => ({ ...pair, confidence: confidenceOf(signals, text, fitted) }));
  const threshold = chooseThreshold(judge(calibration), options);
  const judged = judge(test);
  const needed = fewestItems(MARGIN, CONFIDENCE);
  const few = `the calibration split has ${calibration.length} items; at least ${needed} are needed to show anything`;
  const unsure = 'on the calibration split even the answers it was surest of did not keep the quality';
  return {
    calibration: fitted,
    calibrated: calibration.length,
    point: pointAt(judged, threshold, options),
    curve: curveOf(judged, options),
    brier: brier(judged),
    ...(threshold === null && { reason: calibration.length < needed ? few : unsure }),
  };
}
