// What a teacher's tokens cost: dated list prices by model name, from the data files in prices/.
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { CupelError } from '../base/errors.ts';
import { parseCurrency } from './currency.ts';

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
  currency: string;
  price: TokenPrice;
}
let known: Listed[] | undefined;

function table(): Listed[] {
  known ??= readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json') && !['machines.json', 'rates.json'].includes(name))
    .flatMap((name) => {
      const { vendor, source, currency, prices } = Table.parse(readJson(name));
      const rate = parseCurrency(currency);
      const usd = (amount: number) => amount / rate.perUsd;
      return prices.flatMap(({ models, input, cached = input, output, asOf, note }) =>
        models.map((pattern): Listed => {
          const from = `${vendor} ${pattern}`;
          const listed = `listed as ${input} and ${output} ${currency}, at ${rate.perUsd} to the dollar (${rate.asOf})`;
          const notes = [note, currency !== 'USD' && listed].filter(Boolean).join('; ') || undefined;
          const amounts = { input: usd(input), cached: usd(cached), output: usd(output) };
          return { pattern, currency, price: { ...amounts, from, source, asOf, note: notes, assumed: false } };
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
 * `currency`, else of US dollars. Unknown: the assumed teacher's, and flagged so.
 */
export function priceOf(model: string, currency = 'USD'): TokenPrice {
  const price = findPrice(model, currency);
  if (price) return price;
  const assumed = findPrice(ASSUMED_TEACHER)!;
  return { ...assumed, assumed: true, note: `no price is known for "${model}"; that of ${ASSUMED_TEACHER} stands in` };
}

function findPrice(model: string, currency = 'USD'): TokenPrice | undefined {
  const name = model.trim().toLowerCase().split('/').at(-1)!;
  const found = table().filter(({ pattern }) => matches(pattern, name));
  const listed = found.filter(({ pattern }) => pattern === found[0].pattern);
  const [best] = [currency, 'USD'].flatMap((code) => listed.filter((entry) => entry.currency === code));
  return (best ?? listed[0])?.price;
}

/** `*` at the end of a pattern stands for any rest. */
function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** `IN,OUT` or `IN,OUT,CACHED`, perhaps with a currency behind (`2,3CNY`): USD per million tokens, as `--teacher-price` takes them. @throws CupelError (exit code 2) */
export function parseTeacherPrice(text: string): { input: number; output: number; cached?: number } {
  const code = /(?<=\d\s*)[A-Za-z]{3}$/.exec(text.trim())?.[0];
  const perUsd = code ? parseCurrency(code).perUsd : 1;
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
}

/** The price that was given, or a usual one for a rented machine with so many cores. */
export function machinePrice(given: number | undefined, cores: number): MachinePrice {
  if (given !== undefined) return { usdPerHour: given, from: 'as given', isDefault: false };
  const { usdPerCoreHour, note, source, asOf } = Machines.parse(readJson('machines.json')).default;
  return { usdPerHour: usdPerCoreHour * cores, from: note, source, asOf, isDefault: true };
}
