// Regular expressions of JSON schemas: the part of ECMAScript's that describes regular languages.
import { CupelError } from '../../base/errors.ts';
import { automatonOf, Effort, type Expression, type Lengths, type Place, type Range } from './automaton.ts';
import { anyOf, type Rules } from './rules.ts';
import { inString } from './strings.ts';

const DIGIT: Range[] = [[48, 57]];
const WORD: Range[] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
/** As ECMAScript has it; written is only the plain one. */
const SPACES: Range[] = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
/** What `.` leaves out. */
const LINE_ENDS: Range[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const SPACE: Range[] = [[32, 32]];
/** Beyond, readers of patterns disagree on what one character is. */
const LAST = 0xffff;
const CONTROL_ESCAPES: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };
const DEEPEST = 100;

/**
 * Texts that match, by the characters they are made of; where nothing does, no places.
 * @throws CupelError for what describes no regular language (look-around, back references, Unicode properties) or a too large one
 */
export function patternPlaces(pattern: string, lengths: Lengths, effort = new Effort()): Place[] {
  try {
    return automatonOf(new PatternParser(pattern).parse(), lengths, effort);
  } catch (error) {
    if (!(error instanceof CupelError)) throw error;
    const shown = pattern.length > 100 ? `${pattern.slice(0, 100)}…` : pattern;
    throw new CupelError(`the pattern ${JSON.stringify(shown)} cannot be enforced: ${error.message}`, {
      place: { field: 'pattern' },
    });
  }
}

/** The content of a JSON string that goes through these places. @returns the rule it begins with */
export function placesToGbnf(places: readonly Place[], rules: Rules): string {
  const names = places.map(() => rules.reserve('place'));
  for (const [at, { ends, ways }] of places.entries()) {
    const alternatives = ways.map(({ ranges, to }) => `${classOf(ranges)} ${names[to]}`);
    rules.define(names[at], [...alternatives, ...(ends ? ['""'] : [])].join(' | '));
  }
  return names[0];
}

class PatternParser {
  private readonly source: string[];
  private at = 0;
  private depth = 0;

  constructor(pattern: string) {
    this.source = [...pattern];
  }

  parse(): Expression {
    const items: Expression[] = [];
    do items.push(this.anchored());
    while (this.take('|'));
    if (this.at < this.source.length) throw unsupported(this.source[this.at]);
    return { kind: 'either', items };
  }

  /** An alternative of the whole: what is not anchored may have anything around it. */
  private anchored(): Expression {
    const anything: Expression = {
      kind: 'repeat',
      item: setOf([[32, LAST]]),
      least: 0,
      most: Number.POSITIVE_INFINITY,
    };
    const begins = this.take('^');
    const body = this.sequence();
    const ends = this.take('$');
    return { kind: 'sequence', items: [...(begins ? [] : [anything]), body, ...(ends ? [] : [anything])] };
  }

  private sequence(): Expression {
    const items: Expression[] = [];
    while (this.at < this.source.length && !'|)$'.includes(this.source[this.at])) items.push(this.term());
    return { kind: 'sequence', items };
  }

  private term(): Expression {
    const item = this.atom();
    const bounds = this.quantifier();
    if (!bounds) return item;
    this.take('?');
    const [least, most] = bounds;
    if (least > most) throw unsupported(`{${least},${most}}`);
    return { kind: 'repeat', item, least, most };
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

  private atom(): Expression {
    const character = this.source[this.at++];
    if (character === '(') return this.group();
    if (character === '[') return setOf(this.characterClass());
    if (character === '.') return setOf(complement(LINE_ENDS));
    if (character === '\\') return setOf(this.escape());
    if ('*+?{^'.includes(character)) throw unsupported(character);
    return setOf(single(character.codePointAt(0)!));
  }

  private group(): Expression {
    if (++this.depth > DEEPEST) throw unsupported(`more than ${DEEPEST} parentheses inside each other`);
    if (this.take('?')) {
      const named = /^<[A-Za-z_]\w*>/.exec(this.source.slice(this.at, this.at + 64).join(''));
      if (named) this.at += named[0].length;
      else if (!this.take(':')) throw unsupported(`(?${this.source[this.at] ?? ''}`);
    }
    const items: Expression[] = [];
    do items.push(this.sequence());
    while (this.take('|'));
    if (!this.take(')')) throw unsupported('an anchor inside, or a parenthesis left open');
    this.depth--;
    return { kind: 'either', items };
  }

  private characterClass(): Range[] {
    const negated = this.take('^');
    const ranges: Range[] = [];
    while (!this.take(']')) {
      const from = this.classItem();
      if (this.source[this.at] === '-' && this.source[this.at + 1] !== ']') {
        this.at++;
        ranges.push(between(from, this.classItem()));
      } else ranges.push(...from);
    }
    return negated ? complement(ranges) : ranges;
  }

  private classItem(): Range[] {
    if (this.at >= this.source.length) throw unsupported('[ without ]');
    const character = this.source[this.at++];
    return character === '\\' ? this.escape() : single(character.codePointAt(0)!);
  }

  private escape(): Range[] {
    const character = this.source[this.at++];
    const sets: Record<string, Range[]> = {
      d: DIGIT,
      w: WORD,
      s: SPACE,
      D: complement(DIGIT),
      W: complement(WORD),
      S: complement(SPACES),
    };
    if (character !== undefined && Object.hasOwn(sets, character)) return sets[character];
    return single(this.escapedCode(character));
  }

  private escapedCode(character: string | undefined): number {
    if (character === undefined) throw unsupported('\\ at the end');
    if (Object.hasOwn(CONTROL_ESCAPES, character)) return CONTROL_ESCAPES[character];
    const length = character === 'x' ? 2 : character === 'u' ? 4 : 0;
    if (length > 0) {
      const digits = this.source.slice(this.at, this.at + length).join('');
      if (!/^[\da-fA-F]+$/.test(digits) || digits.length < length) throw unsupported(`\\${character}`);
      this.at += length;
      return Number.parseInt(digits, 16);
    }
    if (/[A-Za-z0-9]/.test(character)) throw unsupported(`\\${character}`);
    return character.codePointAt(0)!;
  }

  private take(character: string): boolean {
    if (this.source[this.at] !== character) return false;
    this.at++;
    return true;
  }
}

const unsupported = (what: string) => new CupelError(what);

const single = (code: number): Range[] => [[code, code]];

function between(from: readonly Range[], to: readonly Range[]): Range {
  const isOne = ([range, ...others]: readonly Range[]) => others.length === 0 && range[0] === range[1];
  if (!isOne(from) || !isOne(to) || from[0][0] > to[0][0]) throw unsupported('a range without ends in order');
  return [from[0][0], to[0][0]];
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
  if (next <= LAST) result.push([next, LAST]);
  return result;
}

/** Halves of characters, and what is better never written. */
const HOLES: Range[] = [
  [127, 127],
  [0xd800, 0xdfff],
];

function setOf(ranges: readonly Range[]): Expression {
  const written = ranges.flatMap((range) => withoutAll(range, HOLES));
  if (written.length === 0) throw unsupported('a class without characters');
  return { kind: 'set', ranges: written };
}

/** What must be escaped inside a JSON string. */
const ESCAPED: Range[] = [
  [0, 31],
  [34, 34],
  [92, 92],
];

function classOf(ranges: readonly Range[]): string {
  const codes = [...Array(32).keys(), 34, 92].filter((at) => ranges.some(([from, to]) => from <= at && at <= to));
  const escaped = codes.map((at) => inString(String.fromCodePoint(at)));
  const plain = ranges.flatMap((range) => withoutAll(range, ESCAPED));
  const body = plain.map(([from, to]) => (from === to ? code(from) : `${code(from)}-${code(to)}`)).join('');
  return anyOf([...(body ? [`[${body}]`] : []), ...escaped]);
}

const withoutAll = (range: Range, holes: readonly Range[]) =>
  holes.reduce<Range[]>((parts, hole) => parts.flatMap((part) => without(part, hole)), [range]);

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
