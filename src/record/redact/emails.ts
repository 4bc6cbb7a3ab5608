// E-mail addresses.
import { type Detector, matches } from './detector.ts';

// a local part, then labels; the top-level domain has letters only, so package@1.2.3 is none
const EMAIL =
  /(?<![A-Za-z0-9._%+/=-])[A-Za-z0-9](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_+-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9-]|\.[A-Za-z0-9]|:[A-Za-z0-9/~])/g;

/** Reserved by RFC 2606 and 6761: nobody's address. */
const RESERVED = /(^|\.)(example\.(com|net|org)|example|invalid|test|localhost|local|internal)$/;

/** Names of files such as `icon@2x.png` and `lib@main.js`. */
const FILE = /\.(png|jpe?g|gif|svg|webp|ico|css|jsx?|tsx?|mjs|json|py|rb|go|rs|md|txt|html?|ya?ml|zip|gz|lock)$/;

export const emails: Detector = {
  kind: 'email',
  hint: /@/,
  find: (text) =>
    matches(text, EMAIL, ([address]) => {
      const lower = address.toLowerCase();
      const domain = lower.slice(lower.lastIndexOf('@') + 1);
      return RESERVED.test(domain) || FILE.test(domain) ? undefined : lower;
    }),
  standIn: (found, _original, pseudonyms) => `user-${pseudonyms.token('email', found.canonical)}@example.com`,
};
