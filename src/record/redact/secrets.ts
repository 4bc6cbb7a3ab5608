// Credentials: keys with a known shape, tokens, private keys, and values that the text itself calls a password or a key.
import { type Detector, type Found, matches } from './detector.ts';
import { PREFIXED } from './prefixes.ts';

/**
 * A text that must be there (case counts), which is far faster to look for, and the pattern. Of a match the first group
 * stays, so that a reader sees what it was; the rest is the secret.
 */
const SHAPES: [string, RegExp][] = [
  ['sk-ant-', /\b(sk-ant-)[A-Za-z0-9_-]{20,}/g],
  ['sk-', /\b(sk-(?:proj-|svcacct-|admin-|or-v1-)?)[A-Za-z0-9_-]{20,}/g],
  ['k_', /\b((?:sk|rk|pk)_(?:live|test)_)[A-Za-z0-9]{16,}/g],
  ['whsec_', /\b(whsec_)[A-Za-z0-9+/]{24,}/g],
  ['A', /(?<![A-Za-z0-9])(AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}(?![A-Za-z0-9])/g],
  ['gh', /\b(gh[pousr]_)[A-Za-z0-9]{36,}/g],
  ['github_pat_', /\b(github_pat_)[A-Za-z0-9_]{40,}/g],
  ['glpat-', /\b(glpat-)[A-Za-z0-9_-]{20,}/g],
  ['xox', /\b(xox[abeoprs]-)[A-Za-z0-9-]{20,}/g],
  ['hooks.slack', /(hooks\.slack\.com\/services\/)[A-Za-z0-9/]{30,}/g],
  ['AIza', /\b(AIza)[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])/g],
  ['ya29.', /\b(ya29\.)[A-Za-z0-9_-]{30,}/g],
  ['hf_', /\b(hf_)[A-Za-z0-9]{30,}/g],
  ['npm_', /\b(npm_)[A-Za-z0-9]{36}\b/g],
  ['pypi-', /\b(pypi-)[A-Za-z0-9_-]{50,}/g],
  ['SG.', /\b(SG\.)[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{30,}/g],
  ['LTAI', /\b(LTAI)[A-Za-z0-9]{12,26}\b/g],
  ['AKID', /\b(AKID)[A-Za-z0-9]{32}\b/g],
  [':AA', /(?<![A-Za-z0-9])(\d{8,10}:AA)[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])/g],
  ['eyJ', /\b(eyJ)[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/g],
  ['key-', /\b(key-)[0-9a-f]{32}\b/g],
  ['-us', /\b()[0-9a-f]{32}-us\d{1,2}\b/g],
  ['.', /(?<![A-Za-z0-9])([0-9a-f]{32}\.)[A-Za-z0-9]{16}(?![A-Za-z0-9])/g],
  ['.', /(?<![A-Za-z0-9_-])()[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}/g],
  ['.atlasv1.', /\b([A-Za-z0-9]{14}\.atlasv1\.)[A-Za-z0-9_-]{60,}/g],
  ['pat', /\b(pat)[A-Za-z0-9]{14}\.[0-9a-f]{64}/g],
  ['re_', /\b(re_)[A-Za-z0-9]{8}_[A-Za-z0-9]{24}\b/g],
  ['ark-', /\b(ark-)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?:-[0-9a-z]{5})?/g],
  ['1//0', /(?<![A-Za-z0-9/])(1\/\/0)[A-Za-z0-9_-]{40,}/g],
  ...PREFIXED,
  // vendors that are not listed: after a short name, letters of both cases and digits, longer than the ids of answers
  ...['_', '-'].map((sign): [string, RegExp] => [
    sign,
    new RegExp(
      `(?<![A-Za-z0-9])([a-z][a-z0-9]{0,11}${sign})(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])(?=[A-Za-z0-9]*\\d)[A-Za-z0-9]{36,}(?![A-Za-z0-9+/=])`,
      'g',
    ),
  ]),
];

/** What may be short, or long only with dots and the like in it. */
const SHORT: [string, RegExp][] = [
  ['ookie', /((?:Set-)?Cookie["']?\s{0,3}:\s{0,3}["']?[^"'\s=;]{1,64}=)(?!REDACTED-)[^"'\n]{6,}/gi],
  ['uthorization', /(Authorization["']?\s{0,3}:\s{0,3}["']?(?:Token|ApiKey|Key)\s+)[A-Za-z0-9._~+/=-]{16,}/gi],
  [
    '=',
    /([?&](?:key|sig|signature|token|auth|X-Amz-(?:Signature|Credential|Security-Token))=)(?!REDACTED-)(?=[^&\s]*\d)[A-Za-z0-9%._~+/-]{16,}/gi,
  ],
  ['-u', /(\s(?:-u|--user)\s+["']?[^\s:"']{1,64}:)(?!REDACTED-)[^\s"']{4,}/g],
  ['earer', /\b([Bb]earer\s+)(?!REDACTED-)(?=[A-Za-z0-9._~+/-]*\d)[A-Za-z0-9._~+/-]{20,}=*/g],
  ['Basic', /\b(Basic\s+)(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/]{16,}={0,2}/g],
  ['://', /\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{1,64}:)(?!REDACTED-)[^\s@/]{3,}(?=@)/g],
];

const ALL = [...SHAPES, ...SHORT];

/** Without so long a word none of `SHAPES` is there: most texts have none. */
const LONG = /[A-Za-z0-9_+/=-]{16}/;

const PRIVATE_KEY =
  /-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?)-----(?:[A-Za-z0-9+/=:,.\s-]{40,}?-----END \1-----|\s*(?:[A-Za-z0-9+/=]{16,}\s*)+)/g;

// "password": "…", AWS_SECRET_ACCESS_KEY=…, 密码是…: a value of six or more with a letter and a digit
const NAMED =
  /((?:password|passwd|pwd|passphrase|secret|api[_-]?key|apikey|access[_-]?key|secret[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|account[_-]?key|[a-z_]*_(?:token|key|secret)|密码|口令|密钥|秘钥)\\?["']?\s{0,3}(?:[:=：]|=>|是|为|\bis\b)\s{0,3}\\?["']?)(?!REDACTED-)([^\s"'`\\，。；、,;(){}<>[\]$]{6,})/gi;

/** One of the words of `NAMED`. */
export const SECRET_NAMES = /pass|pwd|secret|key|token|密码|口令|密钥|秘钥/i;

/** What this detector itself has put there. */
const STAND_IN = /REDACTED-[a-z2-9]{8}$/;

const NOT_A_VALUE = /^(?:process\.env|os\.(?:environ|getenv)|env[.[]|https?:|\*+$|x+$)/i;

export const secrets: Detector = {
  kind: 'secret',
  hint: /[A-Za-z0-9_-]{12}|passw|pwd|secret|密码|口令|key|:\/\//i,
  *find(text) {
    for (const [marker, pattern] of LONG.test(text) ? ALL : SHORT) {
      if (!text.includes(marker)) continue;
      for (const match of text.matchAll(pattern)) if (!STAND_IN.test(match[0])) yield after(match[1], match);
    }
    if (text.includes('PRIVATE KEY')) yield* matches(text, PRIVATE_KEY, (match) => match[0]);
    if (!SECRET_NAMES.test(text)) return;
    for (const match of text.matchAll(NAMED)) {
      const value = match[2];
      if (/\d/.test(value) && /[A-Za-z]/.test(value) && !NOT_A_VALUE.test(value) && !STAND_IN.test(value))
        yield after(match[1], match);
    }
  },
  standIn: (found, _original, pseudonyms) => `REDACTED-${pseudonyms.token('secret', found.canonical)}`,
};

/** What follows the part that is kept. */
function after(kept: string, match: RegExpExecArray): Found {
  const start = match.index + kept.length;
  const end = match.index + match[0].length;
  return { start, end, canonical: match[0].slice(kept.length) };
}
