// Payment card numbers: an issuer's prefix, a length that this issuer uses, and the Luhn checksum.
import { type Detector, matches } from './detector.ts';
import { fillDigits } from './pseudonym.ts';

// in one piece or in the groups that cards are printed in, with one kind of separator
const CARD =
  /(?<![A-Za-z0-9.$€£¥-])(?:\d{4}([ .-] {0,2})\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ .-] {0,2})\d{6}\2\d{4,5}|\d{6}[ -]\d{13}|\d{13,19})(?![A-Za-z0-9_]|[.-]\d)/g;

/** Prefix and lengths by issuer: American Express, Diners, JCB, Mastercard, Mir, UnionPay, Maestro, Discover, Visa. */
const ISSUERS: [RegExp, number[]][] = [
  [/^3[47]/, [15]],
  [/^3(?:0[0-5]|[68])/, [14, 16, 17, 18, 19]],
  [/^35(?:2[89]|[3-8])/, [16, 17, 18, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^220[0-4]/, [16, 17, 18, 19]],
  [/^(?:62|81)/, [16, 17, 18, 19]],
  [/^(?:5018|5020|5038|5893|6304|6759|676[1-3])/, [13, 14, 15, 16, 17, 18, 19]],
  [/^(?:6011|64[4-9]|65)/, [16, 17, 18, 19]],
  [/^4/, [13, 16, 19]],
];

export const cards: Detector = {
  kind: 'card',
  hint: /\d{4}/,
  find: (text) =>
    matches(text, CARD, ([number]) => {
      const digits = number.replace(/\D/g, '');
      return hasIssuer(digits) && passesLuhn(digits) && !isMonotonous(digits) ? digits : undefined;
    }),
  // no issuer begins with 0
  standIn: (found, original, pseudonyms) =>
    fillDigits(original, `0${pseudonyms.digits('card', found.canonical, found.canonical.length - 1)}`),
};

function hasIssuer(digits: string): boolean {
  return ISSUERS.some(([prefix, lengths]) => prefix.test(digits) && lengths.includes(digits.length));
}

/** ISO/IEC 7812-1, annex B. */
export function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** `4444444444444444` and the like are placeholders. */
function isMonotonous(digits: string): boolean {
  return new Set(digits).size <= 1;
}
