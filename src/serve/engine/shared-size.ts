// How large the cache is that short answers behind a common prefix share.

/** Fewer requests at once gain nothing. */
const LEAST_PARALLEL = 4;
const MOST_PARALLEL = 64;
/** Cells beyond the prefixes for each answer: a short prompt and a short answer. */
const OWN_CELLS = 192;

/** @returns undefined where there is none */
export function sharedSize(contextTokens: number, parallel: number): { answers: number; cells: number } | undefined {
  if (parallel < LEAST_PARALLEL) return undefined;
  const answers = Math.min(parallel, MOST_PARALLEL);
  return { answers, cells: Math.ceil((contextTokens + answers * OWN_CELLS) / 256) * 256 };
}
