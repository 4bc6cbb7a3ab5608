// AdamW on flat arrays (Loshchilov and Hutter, 2019), with clipping by the global norm.

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Gradients with a larger Euclidean norm are scaled down to it. */
  readonly maxNorm: number;
}

export const ADAMW: AdamWOptions = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxNorm: 1 };

/** First and second moments, and the number of updates made. */
export interface AdamWState {
  readonly first: Float32Array;
  readonly second: Float32Array;
  updates: number;
}

export function adamwState(size: number): AdamWState {
  return { first: new Float32Array(size), second: new Float32Array(size), updates: 0 };
}

/** The Euclidean norm of a gradient; NaN or infinite when an element is. */
export function globalNorm(gradient: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < gradient.length; i++) sum += gradient[i] * gradient[i];
  return Math.sqrt(sum);
}

/** Updates `weights` and `state` in place. @param norm `globalNorm(gradient)` */
export function adamwStep(
  weights: Float32Array,
  gradient: Float32Array,
  state: AdamWState,
  rate: number,
  norm: number,
  options: AdamWOptions = ADAMW,
): void {
  const { beta1, beta2, epsilon, weightDecay, maxNorm } = options;
  const { first, second } = state;
  state.updates++;
  const clip = norm > maxNorm ? maxNorm / norm : 1;
  const step = rate / (1 - beta1 ** state.updates);
  const correction = 1 / Math.sqrt(1 - beta2 ** state.updates);
  const keep = 1 - rate * weightDecay;
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i] * clip;
    const m = beta1 * first[i] + (1 - beta1) * g;
    const v = beta2 * second[i] + (1 - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    weights[i] = weights[i] * keep - (step * m) / (Math.sqrt(v) * correction + epsilon);
  }
}
