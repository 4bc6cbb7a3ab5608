// Takes secrets and personal data out of what is recorded and puts consistent pseudonyms in their place.
import { CupelError } from '../../base/errors.ts';
import { cards } from './cards.ts';
import { chineseIds } from './chinese-id.ts';
import { type Detector, type Found, matches } from './detector.ts';
import { emails } from './emails.ts';
import { narrowed } from './narrow.ts';
import { type PhoneRegion, phones } from './phones.ts';
import { Pseudonyms } from './pseudonym.ts';
import { SECRET_NAMES, secrets } from './secrets.ts';
import { isTokenList, type Replacement, spellsAgain, withoutSecrets, withoutSecretsInLists } from './tokens.ts';

/** Kind of secret -> how many were replaced. */
export type RedactionCounts = Record<string, number>;

export interface CustomPattern {
  /** Shown in counts and stand-ins, e.g. `employee`. */
  name: string;
  /** A JavaScript regular expression; all of its match is replaced. */
  pattern: string;
}

export interface RedactorOptions {
  /** Key of the pseudonyms; see `loadRedactionKey`. */
  key: Buffer;
  /** Regions whose national phone numbers are known. Default China and the USA; numbers with `+` are known anywhere. */
  regions?: readonly PhoneRegion[];
  custom?: readonly CustomPattern[];
}

/** Texts that are remembered: by length in characters, and so many of them. */
const PROMPT = { least: 200, most: 20_000, count: 200 };

export class Redactor {
  #pseudonyms: Pseudonyms;
  #detectors: Detector[];
  /** Long texts in which nothing was found, the oldest first. */
  #prompts = new Set<string>();

  /** @throws CupelError for a custom pattern that is no regular expression or matches the empty text */
  constructor(options: RedactorOptions) {
    this.#pseudonyms = new Pseudonyms(options.key);
    // earlier detectors win where findings overlap
    this.#detectors = [
      ...(options.custom ?? []).map(customDetector),
      secrets,
      emails,
      chineseIds,
      cards,
      phones(options.regions ?? ['CN', 'US']),
    ];
  }

  /** The text without its secrets; adds to `counts`. Redacting twice changes nothing more. */
  text(text: string, counts: RedactionCounts): string {
    if (text.length < 6) return text;
    // the prompts of a job are the same in every request
    if (this.#prompts.has(text)) return text;
    const redacted = this.#search(text, counts);
    if (redacted === text && text.length >= PROMPT.least && text.length <= PROMPT.most) this.#remember(text);
    return redacted;
  }

  #remember(text: string): void {
    if (this.#prompts.size >= PROMPT.count) this.#prompts.delete(this.#prompts.values().next().value!);
    this.#prompts.add(text);
  }

  #search(text: string, counts: RedactionCounts): string {
    const found = this.#find(text, counts);
    let result = '';
    let at = 0;
    for (const { start, end, text: standIn } of found) {
      result += text.slice(at, start) + standIn;
      at = end;
    }
    return at === 0 ? text : result + text.slice(at);
  }

  /** Secrets in the order of the text, with what stands in for them. */
  #find(text: string, counts: RedactionCounts): Replacement[] {
    const plain = narrowed(text);
    const taken: (Found & { detector: Detector })[] = [];
    for (const detector of this.#detectors) {
      if (!detector.hint.test(plain)) continue;
      for (const found of detector.find(plain)) {
        const overlaps = taken.some((other) => found.start < other.end && other.start < found.end);
        if (!overlaps) taken.push({ ...found, detector });
      }
    }
    return taken
      .sort((a, b) => a.start - b.start)
      .map(({ detector, ...found }) => {
        counts[detector.kind] = (counts[detector.kind] ?? 0) + 1;
        const { start, end } = found;
        return { start, end, text: detector.standIn(found, plain.slice(start, end), this.#pseudonyms) };
      });
  }

  /**
   * A JSON value with every string, name and large number in it redacted; images and sounds as `data:` URLs stay as they
   * are, and so do the API's own fields.
   */
  value<T>(value: T, counts: RedactionCounts): T {
    if (typeof value === 'string') return (isData(value) ? value : this.#string(value, counts)) as T;
    if (typeof value === 'number') return (value > LARGE ? this.#number(value, counts) : value) as T;
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) {
      const items = isTokenList(value) ? withoutSecrets(value, (text) => this.#find(text, {})) : value;
      return items.map((item: unknown) => this.value(item, counts)) as T;
    }
    const result: Record<string, unknown> = {};
    for (const [name, inner] of Object.entries(tokensIn(value) ? this.#lists(value) : value)) {
      const field = TELLING.test(name) ? this.text(name, counts) : name;
      if (typeof inner === 'string' && LITERAL.has(name)) result[field] = inner;
      else if (spellsAgain(name, inner)) result[field] = null;
      else result[field] = this.#named(name, inner, counts);
    }
    return result as T;
  }

  #lists(lists: object): Record<string, unknown> {
    return withoutSecretsInLists(lists as Record<string, unknown>, (text) => this.#find(text, {}));
  }

  /** A text that is JSON with escaped characters, as some write the arguments of calls, is looked at unescaped. */
  #string(text: string, counts: RedactionCounts): string {
    if (!/^\s*[[{]/.test(text) || !text.includes('\\u')) return this.text(text, counts);
    try {
      const plain = JSON.stringify(JSON.parse(text));
      const redacted = this.text(plain, counts);
      return redacted === plain ? text : redacted;
    } catch {
      return this.text(text, counts);
    }
  }

  /** A field's name may say that its value is a password, as it does in a text. */
  #named(name: string, value: unknown, counts: RedactionCounts): unknown {
    if (typeof value !== 'string' || !SECRET_NAMES.test(name)) return this.value(value, counts);
    const pair = this.text(`${name}=${value}`, counts);
    return pair.startsWith(`${name}=`) ? pair.slice(name.length + 1) : pair;
  }

  /** A telephone or card number that is written as a number stays one: nines come first, where neither has any. */
  #number(value: number, counts: RedactionCounts): number {
    const text = String(value);
    if (!Number.isSafeInteger(value)) return value;
    const [found] = this.#find(text, counts);
    return found
      ? Number(
          `99${found.text
            .replace(/\D/g, '')
            .slice(2)
            .padEnd(text.length - 2, '0')}`,
        )
      : value;
  }
}

/** Numbers from here on may be somebody's. */
const LARGE = 1e10;

/** Names of fields that may be somebody's address or number. */
const TELLING = /@|%40|\d{6}/;

function tokensIn(value: object): boolean {
  const { tokens, token_logprobs } = value as { tokens?: unknown; token_logprobs?: unknown };
  return Array.isArray(token_logprobs) && Array.isArray(tokens) && tokens.every((token) => typeof token === 'string');
}

/** Fields of the API that hold no free text, and whose values must keep matching each other. */
const LITERAL = new Set(['role', 'type', 'object', 'model', 'tool_call_id', 'system_fingerprint', 'finish_reason']);

function isData(text: string): boolean {
  return text.startsWith('data:') && /^data:[\w.+/-]+;base64,/.test(text);
}

function customDetector({ name, pattern }: CustomPattern): Detector {
  const regex = compile(name, pattern);
  return {
    kind: name,
    hint: new RegExp(regex.source, 'u'),
    find: (text) => matches(text, regex, ([found]) => (STAND_IN.test(found) ? undefined : found)),
    standIn: (found, _original, pseudonyms) => `[${name}-${pseudonyms.token(name, found.canonical)}]`,
  };
}

const STAND_IN = /^\[?[\w-]+-[a-z2-9]{8}\]?$/;

function compile(name: string, pattern: string): RegExp {
  const place = { field: `redact.${name}` };
  try {
    const regex = new RegExp(pattern, 'gu');
    if (!new RegExp(pattern, 'u').test('')) return regex;
  } catch (cause) {
    throw new CupelError(`not a regular expression: ${pattern}`, { place, exitCode: 2, cause });
  }
  throw new CupelError(`the pattern matches the empty text: ${pattern}`, { place, exitCode: 2 });
}
