// E-mail addresses, also as URLs and cautious people write them: `ann%40mail.com`, `ann [at] mail.com`.
import { type Detector, matches } from './detector.ts';

const LOCAL = "[A-Za-z0-9](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_+-])?";
// letters with marks belong to names of domains, Chinese ones only where nothing else is left of the dot
const LABEL = '[A-Za-z0-9\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f-]{0,61}[A-Za-z0-9\u00c0-\u024f])?';

// a local part, then labels; the top-level domain has letters only, so package@1.2.3 is none
const EMAIL = new RegExp(
  `(?<![A-Za-z0-9._%+-]|://|://[^\\s@/]{1,64}:)${LOCAL}(?:@|%40)(?:${LABEL}\\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-]|\\.[A-Za-z0-9]|:[A-Za-z/~])`,
  'g',
);
const SPELLED = new RegExp(
  `(?<![A-Za-z0-9._%+-])${LOCAL} ?[[(] ?at ?[\\])] ?${LABEL}(?:(?: ?[[(] ?dot ?[\\])] ?|\\.)${LABEL}){0,4}(?: ?[[(] ?dot ?[\\])] ?|\\.)[A-Za-z]{2,24}(?![A-Za-z0-9-])`,
  'gi',
);
const CHINESE =
  /(?:\p{Script=Han}{2,4}|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._-]{1,64})@\p{Script=Han}{2,20}\.(?:cn|com|net|中国|公司|网络)/gu;

/** Reserved by RFC 2606 and 6761: nobody's address. */
const RESERVED = /(^|\.)(example\.(com|net|org)|example|invalid|test|localhost|local|internal)$/;

/** Names of files such as `icon@2x.png` and `lib@main.js`. */
const FILE =
  /\.(png|jpe?g|gif|svg|webp|ico|css|jsx?|tsx?|mjs|json|rb|go|txt|html?|ya?ml|gz|lock)$|^(?:\d+x|main|master|latest|next|v?\d[\w-]*)\.(py|rs|md|zip|sh)$/;

export const emails: Detector = {
  kind: 'email',
  hint: /@|%40|[[(] ?at ?[\])]/i,
  *find(text) {
    yield* matches(text, EMAIL, ([address]) => personal(address.replace('%40', '@')));
    if (/[[(] ?at ?[\])]/i.test(text)) {
      yield* matches(text, SPELLED, ([address]) =>
        personal(address.replace(/ ?[[(] ?at ?[\])] ?/i, '@').replace(/ ?[[(] ?dot ?[\])] ?/gi, '.')),
      );
    }
    if (/@\p{Script=Han}/u.test(text)) yield* matches(text, CHINESE, ([address]) => address.toLowerCase());
  },
  standIn: (found, _original, pseudonyms) => `user-${pseudonyms.token('email', found.canonical)}@example.com`,
};

/** The address in lower case, unless it is nobody's. */
function personal(address: string): string | undefined {
  const lower = address.toLowerCase();
  const domain = lower.slice(lower.lastIndexOf('@') + 1);
  return RESERVED.test(domain) || FILE.test(domain) || lower.startsWith('git@') ? undefined : lower;
}
