// What a teacher's tokens cost: dated list prices by model name, from the data files in prices/.
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { CupelError } from '../base/errors.ts';
import { type Currency, parseCurrency, USD } from './currency.ts';

const Table = z.object({
  vendor: z.string(),
  source: z.string(),
  unit: z.string(),
  /** Of the prices; turned into US dollars at the dated rate. */
  currency: z.string().length(3).default('USD'),
  prices: z.array(
    z.object({
      models: z.array(z.string()).min(1),
      input: z.number().nonnegative(),
      cached: z.number().nonnegative().optional(),
      output: z.number().nonnegative(),
      asOf: z.iso.date(),
      note: z.string().optional(),
    }),
  ),
});

const Machines = z.object({
  default: z.object({ usdPerCoreHour: z.number(), asOf: z.iso.date(), source: z.string(), note: z.string() }),
});

/** USD per million tokens. */
export interface TokenPrice {
  input: number;
  /** Of prompt tokens read from the provider's cache. */
  cached: number;
  output: number;
  /** Whose price it is, and where and when it was listed. */
  from: string;
  source: string;
  asOf: string;
  note?: string;
  /** The model is unknown, and this is another one's price. */
  assumed: boolean;
}

/** Priced when the traffic does not say who the teacher was. */
export const ASSUMED_TEACHER = 'gpt-4o';

// data stays in src/, also when the built code runs from dist/: both are two folders below the package
const FOLDER = new URL('../../src/report/prices/', import.meta.url);
interface Listed {
  pattern: string;
  currency: Currency;
  /** In that currency. */
  amounts: Pick<TokenPrice, 'input' | 'cached' | 'output'>;
  about: Pick<TokenPrice, 'from' | 'source' | 'asOf' | 'note'>;
}
let known: Listed[] | undefined;

function table(): Listed[] {
  known ??= readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json') && !['machines.json', 'rates.json'].includes(name))
    .flatMap((name) => {
      const { vendor, source, currency, prices } = Table.parse(readJson(name));
      return prices.flatMap(({ models, input, cached = input, output, asOf, note }) =>
        models.map((pattern): Listed => {
          const about = { from: `${vendor} ${pattern}`, source, asOf, note };
          return { pattern, currency: parseCurrency(currency), amounts: { input, cached, output }, about };
        }),
      );
    })
    .sort((a, b) => b.pattern.length - a.pattern.length);
  return known;
}

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'));
}

/**
 * List price of a model; `vendor/model` and upper case are understood. Where a vendor has prices in several currencies, that of
 * `currency`, at its rate, else of US dollars. Unknown: the assumed teacher's, and flagged so.
 */
export function priceOf(model: string, currency: Currency = USD): TokenPrice {
  const price = findPrice(model, currency);
  if (price) return price;
  const assumed = findPrice(ASSUMED_TEACHER, USD)!;
  return { ...assumed, assumed: true, note: `no price is known for "${model}"; that of ${ASSUMED_TEACHER} stands in` };
}

function findPrice(model: string, currency: Currency): TokenPrice | undefined {
  const name = model.trim().toLowerCase().split('/').at(-1)!;
  const found = table().filter(({ pattern }) => matches(pattern, name));
  const listed = found.filter(({ pattern }) => pattern === found[0].pattern);
  const [best] = [currency.code, 'USD'].flatMap((code) => listed.filter((entry) => entry.currency.code === code));
  const chosen = best ?? listed[0];
  return chosen && inDollars(chosen, chosen.currency.code === currency.code ? currency : chosen.currency);
}

function inDollars({ amounts, about }: Listed, { code, perUsd, asOf }: Currency): TokenPrice {
  const { input, cached, output } = amounts;
  const listed = code !== 'USD' && `listed as ${input} and ${output} ${code}, at ${perUsd} to the dollar (${asOf || 'as given'})`; // biome-ignore format: one text
  const note = [about.note, listed].filter(Boolean).join('; ') || undefined;
  return { input: input / perUsd, cached: cached / perUsd, output: output / perUsd, ...about, note, assumed: false };
}

/** `*` at the end of a pattern stands for any rest. */
function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/**
 * `IN,OUT` or `IN,OUT,CACHED`, perhaps with a currency behind (`2,3CNY`), at the rate of `shown` where it is that one: USD per
 * million tokens, as `--teacher-price` takes them. @throws CupelError (exit code 2)
 */
export function parseTeacherPrice(
  text: string,
  shown: Currency = USD,
): { input: number; output: number; cached?: number } {
  const code = /(?<=\d\s*)[A-Za-z]{3}$/.exec(text.trim())?.[0];
  const currency = code?.toUpperCase() === shown.code ? shown : code && parseCurrency(code);
  const perUsd = currency ? currency.perUsd : 1;
  const plain = code ? text.trim().slice(0, -3) : text;
  const numbers = plain.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (numbers.length < 2 || numbers.length > 3 || numbers.some((value) => !Number.isFinite(value) || value < 0)) {
    throw new CupelError(`not a price: "${text}"`, {
      place: { field: '--teacher-price' },
      remedy:
        'write USD per million input and output tokens, e.g. 2.5,10 (and, if you like, cached input: 2.5,10,1.25), or 2,3CNY',
      exitCode: 2,
    });
  }
  const [input, output, cached] = numbers.map((value) => value / perUsd);
  return { input, output, ...(cached === undefined ? {} : { cached }) };
}

export interface MachinePrice {
  usdPerHour: number;
  from: string;
  source?: string;
  asOf?: string;
  /** Nobody gave it. */
  isDefault: boolean;
  /** Times as fast as the machine that was measured, as somebody said. */
  speed?: number;
}

/** The price that was given, or a usual one for a rented machine with so many cores. */
export function machinePrice(given: number | undefined, cores: number): MachinePrice {
  if (given !== undefined) return { usdPerHour: given, from: 'as given', isDefault: false };
  const { usdPerCoreHour, note, source, asOf } = Machines.parse(readJson('machines.json')).default;
  return { usdPerHour: usdPerCoreHour * cores, from: note, source, asOf, isDefault: true };
}
