// Fits the probability that an answer is as good as the teacher's to what was seen on the calibration split.
import { type Calibration, featuresOf, isJson, type Signals } from '../../chat/confidence.ts';

export interface Seen {
  signals: Signals;
  text: string;
  /** Score of the student's answer as a share of the teacher's, 0 to 1. */
  worth: number;
}

const ROUNDS = 50;
/** Keeps weights finite where right and wrong answers do not overlap. */
const RIDGE = 0.01;

/**
 * Logistic regression by Newton's method with a small ridge, on standardised features; worths between 0 and 1 count as shares
 * (Papke and Wooldridge, 1996). Scaling logits with a fitted slope and offset is Platt's (1999).
 */
export function calibrate(seen: readonly Seen[]): Calibration {
  const json = seen.length > 0 && seen.filter(({ worth }) => worth > 0).every(({ text }) => isJson(text));
  const rows = seen.map(({ signals }) => featuresOf(signals));
  const scales = Array.from({ length: rows[0]?.length ?? 3 }, (_, i) => scaleOf(rows.map((row) => row[i])));
  const x = rows.map((row) => [1, ...row.map((value, i) => (value - scales[i].mean) / scales[i].deviation)]);
  let w = [0, ...scales.map(() => 0)];
  for (let round = 0; round < ROUNDS; round++) {
    const gradient = w.map((value, i) => (i === 0 ? 0 : RIDGE * value));
    const hessian = w.map((_, i) => w.map((__, j) => (i === j ? (i === 0 ? 1e-9 : RIDGE) : 0)));
    x.forEach((row, n) => {
      const p = 1 / (1 + Math.exp(-row.reduce((sum, value, i) => sum + value * w[i], 0)));
      row.forEach((a, i) => {
        gradient[i] += ((p - seen[n].worth) * a) / x.length;
        row.forEach((b, j) => {
          hessian[i][j] += (Math.max(1e-4, p * (1 - p)) * a * b) / x.length;
        });
      });
    });
    const step = solve(hessian, gradient);
    w = w.map((value, i) => value - step[i]);
  }
  const weights = scales.map(({ deviation }, i) => w[i + 1] / deviation);
  return { bias: w[0] - weights.reduce((sum, value, i) => sum + value * scales[i].mean, 0), weights, json };
}

function scaleOf(values: readonly number[]): { mean: number; deviation: number } {
  if (values.length === 0) return { mean: 0, deviation: 1 };
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) || 1 };
}

/** Gaussian elimination with pivots. */
function solve(matrix: readonly (readonly number[])[], vector: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, vector[i]]);
  for (let i = 0; i < rows.length; i++) {
    const pivot = rows
      .slice(i)
      .reduce((best, row, k) => (Math.abs(row[i]) > Math.abs(rows[best][i]) ? i + k : best), i);
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let k = 0; k < rows.length; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      rows[k] = rows[k].map((value, j) => value - factor * rows[i][j]);
    }
  }
  return rows.map((row, i) => row.at(-1)! / row[i]);
}
