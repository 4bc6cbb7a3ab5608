// Numbers on the command line: checked where they enter, with the bound named.
import { InvalidArgumentError } from 'commander';

/** A commander parser for numbers in [least, most]. */
export function numberOption(least: number, most = Number.POSITIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    const bounds = most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`a number ${bounds} is needed.`);
  };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/** Bytes as people write them: 2g, 1.5GB, 800M. */
export function bytesOption(text: string): number {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*$/i.exec(text) ?? [];
  if (number && Number(number) > 0) return Math.round(Number(number) * UNITS[unit.toLowerCase()]);
  throw new InvalidArgumentError('a size is needed, e.g. 2g or 800m.');
}

/** As `numberOption`, whole numbers only. */
export function integerOption(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = numberOption(least, most)(text);
    if (Number.isInteger(value)) return value;
    throw new InvalidArgumentError('a whole number is needed.');
  };
}
