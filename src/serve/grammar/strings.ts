// JSON strings as GBNF: of bounded length, of a known format.
import { literal, repeat } from './rules.ts';

/** One character of a JSON string: plain, or an escape; never half of a surrogate pair. */
export const CHARACTER =
  '[^"\\\\\\x00-\\x1F\\x7F] | "\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))';

const BLOCK = 32;
/** Longer bounds are counted in blocks, so that grammars stay small. */
const COUNTED_ONE_BY_ONE = 128;

/** llama.cpp repeats no more than 2,000 blocks. */
export const MOST_COUNTED = BLOCK * 1900;

/** @param character name of the rule for one character; @returns undefined when the bounds exclude each other */
export function charactersBetween(character: string, least: number, most: number): string | undefined {
  if (least > most) return undefined;
  if (most === Number.POSITIVE_INFINITY && least <= COUNTED_ONE_BY_ONE) return repeat(character, least, most);
  if (most <= COUNTED_ONE_BY_ONE) return repeat(character, least, most);
  const whole = repeat(`(${repeat(character, BLOCK, BLOCK)})`, Math.ceil(least / BLOCK), blocksWithin(most));
  return `${whole} ${repeat(character, 0, BLOCK - 1)}`;
}

const blocksWithin = (most: number) =>
  most === Number.POSITIVE_INFINITY ? most : Math.floor((most - BLOCK + 1) / BLOCK);

const HOUR = '([01] [0-9] | "2" [0-3])';
const SIXTY = '[0-5] [0-9]';
const TIME = `${HOUR} ":" ${SIXTY} ":" ${SIXTY} ("." [0-9]{1,6})? ("Z" | [-+] ${HOUR} ":" ${SIXTY})`;
const DATE =
  '[12] [0-9]{3} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])' +
  ' | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))';
const BYTE = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9] [0-9] | [0-9])';

/** Formats that are enforced; others are remarks, as the standard has it. */
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE} "T" ${TIME}`,
  uuid: '[0-9a-f]{8} "-" [0-9a-f]{4} "-4" [0-9a-f]{3} "-" [89ab] [0-9a-f]{3} "-" [0-9a-f]{12}',
  ipv4: `${BYTE} ("." ${BYTE}){3}`,
  email:
    '[a-zA-Z0-9]{1,16} ([._-] [a-zA-Z0-9]{1,15}){0,3} "@" [a-z0-9]{1,32} ("-" [a-z0-9]{1,16})? ("." [a-z]{2,10}){1,3}',
};

/** A text as it stands inside a JSON string. */
export const inString = (text: string) => literal(JSON.stringify(text).slice(1, -1));
