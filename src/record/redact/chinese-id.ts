// Chinese resident identity numbers (GB 11643-1999): region, date of birth, sequence, checksum.
import { type Detector, matches } from './detector.ts';
import { fillDigits } from './pseudonym.ts';

const NUMBER =
  /(?<![A-Za-z0-9.])[1-9]\d{2}[ -]?\d{3}[ -]?(?:18|19|20)\d{2}[ -]?(?:0[1-9]|1[0-2])[ -]?(?:0[1-9]|[12]\d|3[01])[ -]?\d{3}[\dXx](?![A-Za-z0-9_]|\.\d)/g;

/** The form issued until 1999 has no checksum; it counts only where the text says what it is. */
const OLD_NUMBER =
  /(?<=(?:身份证|身份證|identity card|ID card)[^\d\n]{0,12})[1-9]\d{5}\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?![A-Za-z0-9_])/gi;

/** Provinces by the first two digits (GB/T 2260), 83 for residence permits of Taiwan. */
const PROVINCES = new Set(
  '11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83'.split(' '),
);

export const chineseIds: Detector = {
  kind: 'chinese_id',
  hint: /\d{3}[ -]?\d{3}[ -]?\d{4}|\d{15}/,
  *find(text) {
    yield* matches(text, NUMBER, ([number]) => {
      const plain = number.replace(/[ -]/g, '').toUpperCase();
      return PROVINCES.has(plain.slice(0, 2)) && isDate(plain) && checkDigit(plain) === plain[17] ? plain : undefined;
    });
    // the words are looked for first: looking back from every place is slow
    if (!/身份|identity|id card/i.test(text)) return;
    yield* matches(text, OLD_NUMBER, ([number]) => (PROVINCES.has(number.slice(0, 2)) ? number : undefined));
  },
  // no province begins with 0
  standIn(found, original, pseudonyms) {
    const digits = `0${pseudonyms.digits('chinese_id', found.canonical, found.canonical.length - 1)}`;
    return fillDigits(original, digits);
  },
};

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

/** ISO 7064 MOD 11-2 over the first 17 digits. */
export function checkDigit(number: string): string {
  const sum = WEIGHTS.reduce((total, weight, i) => total + weight * Number(number[i]), 0);
  return '10X98765432'[sum % 11];
}

function isDate(number: string): boolean {
  const [year, month, day] = [number.slice(6, 10), number.slice(10, 12), number.slice(12, 14)].map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCDate() === day && date.getTime() < Date.now();
}
