// The learning rate over the steps of a run: linear warm-up, then half a cosine down to a floor.

export interface Schedule {
  /** Highest rate. */
  readonly peak: number;
  readonly steps: number;
  /** Share of the steps that warm up. */
  readonly warmup: number;
  /** Last rate as a share of the peak. */
  readonly floor: number;
}

/** The rate of step `step`, counted from 0. */
export function learningRate({ peak, steps, warmup, floor }: Schedule, step: number): number {
  const rising = Math.max(1, Math.round(steps * warmup));
  if (step < rising) return (peak * (step + 1)) / rising;
  const done = Math.min(1, (step - rising) / Math.max(1, steps - rising));
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * done)));
}
