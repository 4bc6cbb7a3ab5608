// Log probabilities of the taken token and of the likeliest ones, from a row of logits.

export interface TokenLogprob {
  token: number;
  logprob: number;
}

/** Natural logarithms of probabilities, before temperature and penalties. @param top how many of the likeliest to list */
export function logprobsOf(logits: Float32Array, taken: number, top: number): { logprob: number; top: TokenLogprob[] } {
  const total = logSumExp(logits);
  return {
    logprob: logits[taken] - total,
    top: largest(logits, top).map((token) => ({ token, logprob: logits[token] - total })),
  };
}

/** log(sum(exp(x))), safe from overflow. */
export function logSumExp(values: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) if (values[i] > most) most = values[i];
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - most);
  return most + Math.log(sum);
}

function largest(values: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length && count > 0; i++) {
    if (best.length === count && values[i] <= values[best[count - 1]]) continue;
    let at = best.length;
    while (at > 0 && values[best[at - 1]] < values[i]) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}
