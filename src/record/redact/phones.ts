// Telephone numbers: Chinese and international, checked against the numbering plans of libphonenumber.
import { type CountryCode, type PhoneNumber, parsePhoneNumberFromString } from 'libphonenumber-js/max';
import { type Detector, type Found, matches } from './detector.ts';
import { fillDigits } from './pseudonym.ts';

// after `=` and `/` numbers of all kinds stand, unless the name before or a number before it says that it is a telephone's
const BEFORE =
  '(?:(?<![A-Za-z0-9_.+/=#-])|(?<=(?:phone|mobile|tel|cell|msisdn|contact)\\w{0,10}=)|(?<=wa\\.me/)|(?<=\\d{8}/))';
// a list of numbers may follow
const AFTER = '(?![A-Za-z0-9_]|[.:-]\\d|[,/](?!\\+|1[3-9]\\d{9}(?!\\d))\\d)';

const INTERNATIONAL = new RegExp(`${BEFORE}(?:\\+|00)\\(?\\d(?:[ .()-]{0,2}\\d){6,14}${AFTER}`, 'gi');

const NATIONAL: Partial<Record<CountryCode, RegExp>> = {
  // mobile (with or without 86), then landline with its area code; 400 and 800 hotlines are nobody's own
  CN: new RegExp(
    `${BEFORE}(?:(?:86|\\(86\\))[ -]?)?(?:1[3-9]\\d([ .-]?)\\d{4}\\1\\d{4}|1[3-9]\\d{2}([ -])\\d{3}\\2\\d{4}|1[3-9]\\d([ -])\\d{3}\\3\\d{5}|\\(?0(?:10|2\\d|[3-9]\\d{2})\\)?[ -]?\\d{3,4}[ -]?\\d{4}|(?<=86[ -])(?:10|2\\d|[3-9]\\d{2})[ -]\\d{3,4}[ -]?\\d{4})${AFTER}`,
    'gi',
  ),
  US: new RegExp(`${BEFORE}(?:1[-. ])?(?:\\([2-9]\\d{2}\\) ?|[2-9]\\d{2}[-. ])\\d{3}[-. ]\\d{4}${AFTER}`, 'gi'),
  GB: new RegExp(`${BEFORE}\\(?0[1-37]\\d{1,4}\\)?[ -]\\d{3,4}[ -]?\\d{3,4}${AFTER}`, 'gi'),
};

/** Regions whose national spelling (without `+`) can be told from other numbers. */
export type PhoneRegion = 'CN' | 'US' | 'GB';

/** The words before it say that it is some other number. */
const NOT_A_PHONE =
  /(?:订单|单号|编号|流水|运单|快递单|工号|学号|账号|QQ号?|版本|序列号|order|invoice|tracking|ticket|serial|case|part|model|ref(?:erence)?|sku|isbn|uid|id|length|size|offset|bytes|count|total|amount)[\s_-]*(?:no\.?|number|num|id|号码?)?\s*(?:[:：=#]|is|为|是)?\s*["']?\s*$/i;

export function phones(regions: readonly PhoneRegion[]): Detector {
  const find = function* (text: string): Generator<Found> {
    yield* matches(text, INTERNATIONAL, (match) => {
      const plus = match[0].startsWith('+');
      const digits = match[0].replace(/\D/g, '');
      if (!plus && otherNumber(text, match.index)) return undefined;
      return personal(parsePhoneNumberFromString(`+${plus ? digits : digits.slice(2)}`));
    });
    for (const region of regions) {
      yield* matches(text, NATIONAL[region]!, (match) =>
        otherNumber(text, match.index) ? undefined : personal(parsePhoneNumberFromString(match[0], region)),
      );
    }
  };
  return {
    kind: 'phone',
    hint: /\d[\d ().-]{4,}\d/,
    find,
    standIn(found, original, pseudonyms) {
      const kept = callingCode(found.canonical, original);
      for (let salt = 0; ; salt++) {
        const digits = pseudonyms.digits('phone', found.canonical, original.length, salt);
        const candidate = kept + fillDigits(original.slice(kept.length), digits);
        if (find(candidate).next().done) return candidate;
      }
    },
  };
}

function otherNumber(text: string, start: number): boolean {
  return NOT_A_PHONE.test(text.slice(Math.max(0, start - 32), start));
}

const IMPERSONAL = new Set(['TOLL_FREE', 'PREMIUM_RATE', 'SHARED_COST', 'UAN', 'VOICEMAIL']);

/** E.164 of a valid number that may belong to a person. */
function personal(number: PhoneNumber | undefined): string | undefined {
  if (!number?.isValid()) return undefined;
  return IMPERSONAL.has(number.getType() ?? '') ? undefined : number.number;
}

/** The part of the spelling that stays: `+86`, `0044`, with what follows up to the next digit. */
function callingCode(e164: string, original: string): string {
  const code = parsePhoneNumberFromString(e164)!.countryCallingCode;
  return new RegExp(`^(?:\\+|00)?\\(?${code}\\D+|^(?:\\+|00)${code}`).exec(original)?.[0] ?? '';
}
