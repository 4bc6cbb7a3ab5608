// Other currencies than the ledger's US dollars, at dated rates or one that is given.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { CupelError } from '../base/errors.ts';

const Rates = z.object({
  unit: z.literal('per USD'),
  source: z.string(),
  asOf: z.iso.date(),
  note: z.string(),
  rates: z.record(z.string(), z.number().positive()),
});

/** How dollars are shown. */
export interface Currency {
  code: string;
  perUsd: number;
  source: string;
  asOf: string;
}

export const USD: Currency = { code: 'USD', perUsd: 1, source: '', asOf: '' };

/** `CNY`, or `CNY=7.1` with a rate of one's own. @throws CupelError (exit code 2) for a currency without a rate */
export function parseCurrency(text: string): Currency {
  const { source, asOf, rates } = Rates.parse(
    JSON.parse(readFileSync(new URL('../../src/report/prices/rates.json', import.meta.url), 'utf8')),
  );
  const [name, given] = text.split('=');
  const code = name.trim().toUpperCase();
  if (given !== undefined && /^[A-Z]{3}$/.test(code) && Number(given) > 0) {
    return { code, perUsd: Number(given), source: 'as given', asOf: '' };
  }
  if (given === undefined && code === 'USD') return USD;
  if (given === undefined && rates[code]) return { code, perUsd: rates[code], source, asOf };
  throw new CupelError(`no rate is known for "${text}"`, {
    place: { field: '--currency' },
    remedy: `choose one of USD, ${Object.keys(rates).join(', ')}, or give the rate: ${/^[A-Z]{3}$/.test(code) ? code : 'SEK'}=10.5`,
    exitCode: 2,
  });
}
