// JSON numbers within bounds, as GBNF.
import { anyOf, literal, repeat } from './rules.ts';

/** Digits an integer may have: a double holds all of them. */
const DIGITS = 15;
const LARGEST = 10 ** DIGITS - 1;

/** Integers from `low` to `high`. @returns undefined when there are none */
export function integersBetween(low = -LARGEST, high = LARGEST): string | undefined {
  const from = Math.max(-LARGEST, Math.ceil(low));
  const to = Math.min(LARGEST, Math.floor(high));
  if (from > to) return undefined;
  const parts: string[] = [];
  if (from < 0) parts.push(`"-" ${naturalsBetween(Math.max(1, -to), -from)}`);
  if (to >= 0) parts.push(naturalsBetween(Math.max(0, from), to));
  return anyOf(parts);
}

/** More are not written out. */
const MOST_MULTIPLES = 1024;

/** The multiples of `step` from `low` to `high`, each written out. @returns undefined when they are none, or too many */
export function multiplesBetween(step: number, low = Number.NaN, high = Number.NaN): string | undefined {
  const from = Math.ceil(low / step);
  const count = Math.floor(high / step) - from + 1;
  if (!(count >= 1 && count <= MOST_MULTIPLES)) return undefined;
  return anyOf(Array.from({ length: count }, (_, i) => literal(String((from + i) * step))));
}

function naturalsBetween(from: number, to: number): string {
  const parts: string[] = [];
  for (let digits = String(from).length; digits <= String(to).length; digits++) {
    const least = Math.max(from, digits === 1 ? 0 : 10 ** (digits - 1));
    parts.push(...digitsBetween(String(least), String(Math.min(to, 10 ** digits - 1))));
  }
  return anyOf(parts);
}

/** Digit strings of one length from `a` to `b`, in order. */
function digitsBetween(a: string, b: string): string[] {
  if (a === b) return [literal(a)];
  const [first, last] = [Number(a[0]), Number(b[0])];
  const [restA, restB] = [a.slice(1), b.slice(1)];
  if (restA === '') return [digit(first, last)];
  if (first === last) return [`${literal(a[0])} ${anyOf(digitsBetween(restA, restB))}`];
  const lowIsWhole = /^0*$/.test(restA);
  const highIsWhole = /^9*$/.test(restB);
  const middle = [lowIsWhole ? first : first + 1, highIsWhole ? last : last - 1];
  return [
    ...(lowIsWhole ? [] : [`${literal(a[0])} ${anyOf(digitsBetween(restA, '9'.repeat(restA.length)))}`]),
    ...(middle[0] <= middle[1]
      ? [`${digit(middle[0], middle[1])} ${repeat('[0-9]', restA.length, restA.length)}`]
      : []),
    ...(highIsWhole ? [] : [`${literal(b[0])} ${anyOf(digitsBetween('0'.repeat(restB.length), restB))}`]),
  ];
}

const digit = (from: number, to: number) => (from === to ? `"${from}"` : `[${from}-${to}]`);

export interface Bounds {
  low?: number;
  high?: number;
  /** The bound itself is not allowed. */
  lowOpen?: boolean;
  highOpen?: boolean;
}

const ANY = `"-"? ("0" | [1-9] [0-9]{0,${DIGITS - 1}}) ("." [0-9]{1,${DIGITS}})? ([eE] [-+]? [0-9]{1,2})?`;
/** Digits after the point where there are bounds: so few that a double tells them apart. */
const FRACTION = '"." [0-9]{1,6}';
const MOST_DECIMALS = 9;

/** Numbers within bounds. @returns undefined when none could be found */
export function numbersBetween(bounds: Bounds): string | undefined {
  const { low, high, lowOpen = false, highOpen = false } = bounds;
  if (low === undefined && high === undefined) return ANY;
  const least = low === undefined ? -LARGEST : lowOpen ? Math.floor(low) + 1 : Math.ceil(low);
  const most = high === undefined ? LARGEST : highOpen ? Math.ceil(high) - 1 : Math.floor(high);
  const parts = [integersBetween(least, most)];
  // n.fff lies in [n, n + 1), -n.fff in (-n - 1, -n]; six decimals never round to the next integer below 10^9
  const edge = 1e9;
  const positive = naturalRange(Math.max(0, least), Math.min(edge, most - 1));
  if (positive) parts.push(`${positive} ${FRACTION}`);
  const negative = naturalRange(Math.max(0, -most), Math.min(edge, -least - 1));
  if (negative) parts.push(`"-" ${negative} ${FRACTION}`);
  const found = parts.filter((part) => part !== undefined);
  return found.length > 0 ? anyOf(found) : betweenIntegers(bounds as Required<Bounds>);
}

const naturalRange = (from: number, to: number) => (from > to ? undefined : naturalsBetween(from, to));

/** Both bounds lie between two neighbouring integers: as few decimals as it takes. */
function betweenIntegers({ low, high, lowOpen, highOpen }: Required<Bounds>): string | undefined {
  const negative = high <= 0;
  const [small, large] = negative ? [-high, -low] : [low, high];
  const [smallOpen, largeOpen] = negative ? [highOpen, lowOpen] : [lowOpen, highOpen];
  const whole = Math.floor(small);
  for (let decimals = 1; decimals <= MOST_DECIMALS; decimals++) {
    const scale = 10 ** decimals;
    const inside = (n: number) => {
      const value = Number(`${whole}.${String(n).padStart(decimals, '0')}`);
      return (smallOpen ? value > small : value >= small) && (largeOpen ? value < large : value <= large);
    };
    let from = Math.floor((small - whole) * scale);
    let to = Math.min(scale - 1, Math.ceil((large - whole) * scale));
    while (from <= to && !inside(from)) from++;
    while (to >= from && !inside(to)) to--;
    if (from > to) continue;
    const digits = [from, to].map((n) => String(n).padStart(decimals, '0'));
    return `${literal(`${negative ? '-' : ''}${whole}.`)} ${anyOf(digitsBetween(digits[0], digits[1]))}`;
  }
  return undefined;
}
