// The learning rate over the steps of a run: linear warm-up, then half a cosine down to a floor.

export interface Schedule {
  /** Highest rate. */
  readonly peak: number;
  readonly steps: number;
  /** Steps that rise to the peak; the rate of these does not depend on `steps`. */
  readonly warmupSteps: number;
  /** Last rate as a share of the peak. */
  readonly floor: number;
}

/** The rate of step `step`, counted from 0. */
export function learningRate({ peak, steps, warmupSteps, floor }: Schedule, step: number): number {
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  const done = Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps));
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * done)));
}
