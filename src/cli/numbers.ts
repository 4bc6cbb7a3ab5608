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

/** As `numberOption`, whole numbers only. */
export function integerOption(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = numberOption(least, most)(text);
    if (Number.isInteger(value)) return value;
    throw new InvalidArgumentError('a whole number is needed.');
  };
}
