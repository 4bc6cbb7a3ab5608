// What a machine costs an hour: rented, bought and written off, or asked "what if".
import { CupelError } from '../base/errors.ts';
import { type Currency, parseCurrency, USD } from './currency.ts';
import type { MachinePrice } from './prices.ts';

const HOURS_PER_MONTH = 730;

/** A machine named on the command line; `speed`: times as fast as the one that was measured. */
export interface MachineChoice extends MachinePrice {
  speed: number;
}

/**
 * `a100-80g@1.2/h`, `desk@2400/36mo` (bought, written off over 36 months), with a currency `@8.5CNY/h`, and how many times as
 * fast it is as the measured machine: `a100-80g@1.2/h,x12`. The currency `shown` counts at its own rate. @throws CupelError (exit code 2)
 */
export function parseMachine(text: string, shown: Currency = USD): MachineChoice {
  const found = /^([\w.+-]+)@(\d+(?:\.\d+)?)([A-Za-z]{3})?\/(h|(\d+)mo)(?:,x(\d+(?:\.\d+)?))?$/.exec(text.trim());
  if (!found || Number(found[5] ?? 1) === 0 || Number(found[6] ?? 1) === 0) {
    throw new CupelError(`not a machine: "${text}"`, {
      place: { field: '--machine' },
      remedy: 'write NAME@PRICE/h, or NAME@PRICE/36mo for one that was bought, e.g. a100-80g@1.2/h',
      exitCode: 2,
    });
  }
  const [, name, price, code, period, months, speed] = found;
  const currency = code?.toUpperCase() === shown.code ? shown : parseCurrency(code ?? 'USD');
  const usd = Number(price) / currency.perUsd;
  const bought = period !== 'h';
  const usdPerHour = bought ? usd / (Number(months) * HOURS_PER_MONTH) : usd;
  const from = bought ? `${name}, bought for ${price}${code ?? ' USD'} over ${months} months` : `${name}, as given`;
  const stated =
    speed === undefined ? 'at the speed measured here' : `stated to be ${speed} times as fast as measured here`;
  return { usdPerHour, from: `${from}, ${stated}`, isDefault: false, speed: Number(speed ?? 1) };
}
