// What an exchange cost: US dollars from a table of prices per million tokens.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { CupelError } from '../base/errors.ts';
import type { Tokens } from './proxy/usage.ts';

/** US dollars for one exchange, or null when the model or its usage is unknown. */
export type Price = (model: string | null, tokens: Tokens) => number | null;

export const PriceTable = z.record(
  z.string(),
  z.object({
    /** US dollars per million tokens. */
    input: z.number().nonnegative(),
    output: z.number().nonnegative(),
    /** Of a cached prompt token; as `input` where absent. */
    cached: z.number().nonnegative().optional(),
  }),
);
export type PriceTable = z.infer<typeof PriceTable>;

/** Prices by model name; a name ending in `*` matches what begins with it, the longest match wins. */
export function priceFrom(table: PriceTable): Price {
  const names = Object.keys(table).sort((a, b) => b.length - a.length);
  const find = (model: string) =>
    names.find((name) => name === model) ??
    names.find((name) => name.endsWith('*') && model.startsWith(name.slice(0, -1)));
  return (model, tokens) => {
    const name = model === null ? undefined : find(model);
    if (name === undefined || tokens.prompt_tokens === null || tokens.completion_tokens === null) return null;
    const { input, output, cached = input } = table[name];
    const hits = Math.min(tokens.cached_tokens ?? 0, tokens.prompt_tokens);
    return ((tokens.prompt_tokens - hits) * input + hits * cached + tokens.completion_tokens * output) / 1e6;
  };
}

/** Reads `{"model": {"input": 0.15, "output": 0.6, "cached": 0.075}}`. @throws CupelError naming the field that is wrong */
export function readPrices(file: string): Price {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new CupelError(`cannot read the prices: ${(cause as Error).message}`, { place: { file }, cause });
  }
  const table = PriceTable.safeParse(parsed);
  if (!table.success) {
    const issue = table.error.issues[0];
    throw new CupelError(issue.message, {
      place: { file, field: issue.path.join('.') },
      remedy: 'write {"MODEL": {"input": DOLLARS, "output": DOLLARS, "cached": DOLLARS}} per million tokens',
    });
  }
  return priceFrom(table.data);
}
