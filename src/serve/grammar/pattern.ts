// Regular expressions of JSON schemas as GBNF: the part of ECMAScript's that describes regular languages.
import { CupelError } from '../../base/errors.ts';
import { anyOf, repeat } from './rules.ts';
import { inString } from './strings.ts';

type Range = [from: number, to: number];

const DIGIT: Range[] = [[48, 57]];
const WORD: Range[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const SPACE: Range[] = [[32, 32]];
const ALL: Range[] = [[32, 0x10ffff]];
const CONTROL_ESCAPES: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };

/**
 * The content of a JSON string that matches.
 * @param character name of the rule for any character
 * @throws CupelError for what has no such form: look-around, back references, Unicode properties
 */
export function patternToGbnf(pattern: string, character: string): string {
  return new PatternParser(pattern, character).parse();
}

class PatternParser {
  private readonly source: string[];
  private readonly pattern: string;
  private readonly character: string;
  private at = 0;

  constructor(pattern: string, character: string) {
    this.pattern = pattern;
    this.source = [...pattern];
    this.character = character;
  }

  parse(): string {
    const alternatives: string[] = [];
    do alternatives.push(this.anchored());
    while (this.take('|'));
    if (this.at < this.source.length) throw this.unsupported(this.source[this.at]);
    return anyOf(alternatives);
  }

  /** An alternative of the whole: what is not anchored may have anything around it. */
  private anchored(): string {
    const begins = this.take('^');
    const body = this.sequence();
    const ends = this.take('$');
    return (
      [begins ? '' : `${this.character}*`, body, ends ? '' : `${this.character}*`].filter(Boolean).join(' ') || '""'
    );
  }

  private sequence(): string {
    const parts: string[] = [];
    while (this.at < this.source.length && !'|)$'.includes(this.source[this.at])) parts.push(this.term());
    return parts.join(' ');
  }

  private term(): string {
    const atom = this.atom();
    const bounds = this.quantifier();
    if (!bounds) return atom;
    this.take('?');
    return bounds[1] === 0 ? '""' : repeat(`(${atom})`, bounds[0], bounds[1]);
  }

  private quantifier(): [least: number, most: number] | undefined {
    if (this.take('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.take('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.take('?')) return [0, 1];
    const braces = /^\{(\d+)(,(\d*))?\}/.exec(this.source.slice(this.at, this.at + 16).join(''));
    if (!braces) return undefined;
    this.at += braces[0].length;
    const least = Number(braces[1]);
    return [least, braces[2] === undefined ? least : braces[3] ? Number(braces[3]) : Number.POSITIVE_INFINITY];
  }

  private atom(): string {
    const character = this.source[this.at++];
    if (character === '(') return this.group();
    if (character === '[') return this.characterClass();
    if (character === '.') return classOf(ALL);
    if (character === '\\') return classOf(this.escape());
    if ('*+?{^'.includes(character)) throw this.unsupported(character);
    return inString(character);
  }

  private group(): string {
    if (this.take('?')) {
      const named = /^<[A-Za-z_]\w*>/.exec(this.source.slice(this.at, this.at + 64).join(''));
      if (named) this.at += named[0].length;
      else if (!this.take(':')) throw this.unsupported(`(?${this.source[this.at] ?? ''}`);
    }
    const alternatives: string[] = [];
    do alternatives.push(this.sequence() || '""');
    while (this.take('|'));
    if (!this.take(')')) throw this.unsupported('an anchor inside, or a parenthesis left open');
    return `(${alternatives.join(' | ')})`;
  }

  private characterClass(): string {
    const negated = this.take('^');
    const ranges: Range[] = [];
    while (!this.take(']')) {
      if (this.at >= this.source.length) throw this.unsupported('[ without ]');
      const from = this.classItem();
      const single = from.length === 1 && from[0][0] === from[0][1];
      if (single && this.source[this.at] === '-' && this.source[this.at + 1] !== ']') {
        this.at++;
        ranges.push([from[0][0], this.classItem()[0][1]]);
      } else ranges.push(...from);
    }
    return classOf(negated ? complement(ranges) : ranges);
  }

  private classItem(): Range[] {
    const character = this.source[this.at++];
    if (character === '\\') return this.escape();
    const code = character.codePointAt(0)!;
    return [[code, code]];
  }

  private escape(): Range[] {
    const character = this.source[this.at++];
    const sets: Record<string, Range[]> = {
      d: DIGIT,
      w: WORD,
      s: SPACE,
      D: complement(DIGIT),
      W: complement(WORD),
      S: complement(SPACE),
    };
    if (character !== undefined && Object.hasOwn(sets, character)) return sets[character];
    const code = this.escapedCode(character);
    return [[code, code]];
  }

  private escapedCode(character: string | undefined): number {
    if (character === undefined) throw this.unsupported('\\ at the end');
    if (Object.hasOwn(CONTROL_ESCAPES, character)) return CONTROL_ESCAPES[character];
    const length = character === 'x' ? 2 : character === 'u' ? 4 : 0;
    if (length > 0) {
      const digits = this.source.slice(this.at, this.at + length).join('');
      if (!/^[\da-fA-F]+$/.test(digits) || digits.length < length) throw this.unsupported(`\\${character}`);
      this.at += length;
      return Number.parseInt(digits, 16);
    }
    if (/[A-Za-z0-9]/.test(character)) throw this.unsupported(`\\${character}`);
    return character.codePointAt(0)!;
  }

  private take(character: string): boolean {
    if (this.source[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private unsupported(what: string): CupelError {
    return new CupelError(`the pattern ${JSON.stringify(this.pattern)} cannot be enforced: ${what}`, {
      place: { field: 'pattern' },
    });
  }
}

/** Characters of JSON strings that are not in the ranges. */
function complement(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const result: Range[] = [];
  let next = 32;
  for (const [from, to] of sorted) {
    if (from > next) result.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= 0x10ffff) result.push([next, 0x10ffff]);
  return result;
}

/** What must be escaped inside a JSON string, or is better never written. */
const APART: Range[] = [
  [0, 31],
  [34, 34],
  [92, 92],
  [127, 127],
  [0xd800, 0xdfff],
];

function classOf(ranges: readonly Range[]): string {
  const has = (code: number) => ranges.some(([from, to]) => from <= code && code <= to);
  const escaped = [34, 92, 10, 13, 9].filter(has).map((code) => inString(String.fromCodePoint(code)));
  const plain = ranges.flatMap((range) =>
    APART.reduce<Range[]>((parts, hole) => parts.flatMap((part) => without(part, hole)), [range]),
  );
  const body = plain.map(([from, to]) => (from === to ? code(from) : `${code(from)}-${code(to)}`)).join('');
  return anyOf([...(body ? [`[${body}]`] : []), ...escaped]);
}

function without([from, to]: Range, [low, high]: Range): Range[] {
  const parts: Range[] = [
    [from, Math.min(to, low - 1)],
    [Math.max(from, high + 1), to],
  ];
  return parts.filter(([a, b]) => a <= b);
}

function code(point: number): string {
  if (/[A-Za-z0-9]/.test(String.fromCodePoint(point))) return String.fromCodePoint(point);
  if (point < 0x80) return `\\x${point.toString(16).padStart(2, '0').toUpperCase()}`;
  return point <= 0xffff ? `\\u${point.toString(16).padStart(4, '0')}` : `\\U${point.toString(16).padStart(8, '0')}`;
}
