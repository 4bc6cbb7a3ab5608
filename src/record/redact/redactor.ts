// Takes secrets and personal data out of what is recorded and puts consistent pseudonyms in their place.
import { CupelError } from '../../base/errors.ts';
import { cards } from './cards.ts';
import { chineseIds } from './chinese-id.ts';
import { type Detector, type Found, matches } from './detector.ts';
import { emails } from './emails.ts';
import { type PhoneRegion, phones } from './phones.ts';
import { Pseudonyms } from './pseudonym.ts';
import { secrets } from './secrets.ts';

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
    const plain = narrowed(text);
    const taken: (Found & { detector: Detector })[] = [];
    for (const detector of this.#detectors) {
      if (!detector.hint.test(plain)) continue;
      for (const found of detector.find(plain)) {
        const overlaps = taken.some((other) => found.start < other.end && other.start < found.end);
        if (!overlaps) taken.push({ ...found, detector });
      }
    }
    return taken.length === 0 ? text : this.#replace(text, plain, taken, counts);
  }

  /** A JSON value with every string in it redacted; images and sounds as `data:` URLs stay as they are. */
  value<T>(value: T, counts: RedactionCounts): T {
    if (typeof value === 'string') return (isData(value) ? value : this.text(value, counts)) as T;
    if (Array.isArray(value)) return value.map((item: unknown) => this.value(item, counts)) as T;
    if (value === null || typeof value !== 'object') return value;
    const result: Record<string, unknown> = {};
    for (const [name, inner] of Object.entries(value)) {
      result[name] = LITERAL.has(name) && typeof inner === 'string' ? inner : this.value(inner, counts);
    }
    return result as T;
  }

  #replace(text: string, plain: string, taken: (Found & { detector: Detector })[], counts: RedactionCounts): string {
    let result = '';
    let at = 0;
    for (const found of taken.sort((a, b) => a.start - b.start)) {
      const { detector, start, end } = found;
      result += text.slice(at, start) + detector.standIn(found, plain.slice(start, end), this.#pseudonyms);
      at = end;
      counts[detector.kind] = (counts[detector.kind] ?? 0) + 1;
    }
    return result + text.slice(at);
  }
}

/** Fields of the API that hold no free text, and whose values must keep matching each other. */
const LITERAL = new Set(['role', 'type', 'object', 'model', 'tool_call_id', 'system_fingerprint', 'finish_reason']);

function isData(text: string): boolean {
  return text.startsWith('data:') && /^data:[\w.+/-]+;base64,/.test(text);
}

/** Full-width digits, `＋`, `－`, `＠` and `．` as ASCII; every position stays where it was. */
function narrowed(text: string): string {
  if (!/[\uFF0B-\uFF20]/.test(text)) return text;
  return text.replace(/[\uFF10-\uFF19\uFF0B\uFF0D\uFF0E\uFF20]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0));
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
