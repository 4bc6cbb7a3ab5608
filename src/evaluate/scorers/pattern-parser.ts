// Reads a regular expression into a tree, and refuses what cannot be run without backtracking.
import { CupelError } from '../../base/errors.ts';

export type Test = (character: string) => boolean;
export type Place = 'start' | 'end' | 'boundary' | 'inside';
export type Node =
  | { kind: 'one'; test: Test }
  | { kind: 'all' | 'any'; parts: Node[] }
  | { kind: 'repeat'; part: Node; least: number; most: number }
  | { kind: Place };

/** Copies that `{m,n}` may make of a part, so that patterns stay small. */
const MOST_REPEATS = 1000;
const MOST_DEPTH = 200;

export function refused(why: string): CupelError {
  return new CupelError(`not a pattern that is safe to run: ${why}`, {
    remedy: 'use literals, classes, groups, | and repeats, without references and look-around',
    exitCode: 2,
  });
}

/** @throws CupelError for what no set of states can run */
export function parsePattern(pattern: string): Node {
  return new Parser(pattern).parse();
}

class Parser {
  readonly #text: string[];
  readonly #anyCase: boolean;
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    this.#anyCase = pattern.startsWith('(?i)');
    this.#text = [...(this.#anyCase ? pattern.slice(4) : pattern)];
  }

  parse(): Node {
    const node = this.#alternatives();
    if (this.#at < this.#text.length) throw refused(`unexpected "${this.#text[this.#at]}"`);
    return node;
  }

  #alternatives(): Node {
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0] : { kind: 'any', parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#text.length && this.#text[this.#at] !== '|' && this.#text[this.#at] !== ')') {
      parts.push(this.#repeated(this.#atom()));
    }
    return { kind: 'all', parts };
  }

  #repeated(part: Node): Node {
    const character = this.#text[this.#at];
    let [least, most] = [1, 1];
    if (character === '*') [least, most] = [0, Number.POSITIVE_INFINITY];
    else if (character === '+') most = Number.POSITIVE_INFINITY;
    else if (character === '?') least = 0;
    else {
      const found = /^\{(\d+)(,(\d*))?\}/.exec(this.#text.slice(this.#at, this.#at + 16).join(''));
      if (!found) return part;
      least = Number(found[1]);
      most = found[2] === undefined ? least : found[3] ? Number(found[3]) : Number.POSITIVE_INFINITY;
      if (least > most || least > MOST_REPEATS || (most !== Number.POSITIVE_INFINITY && most > MOST_REPEATS)) {
        throw refused(`bad repeat ${found[0]}`);
      }
      this.#at += found[0].length - 1;
    }
    this.#at++;
    // whether a match is greedy or not makes no difference to whether there is one
    this.#take('?');
    return { kind: 'repeat', part, least, most };
  }

  #atom(): Node {
    const character = this.#text[this.#at++];
    if (character === '(') return this.#group();
    if (character === '[') return this.#one(this.#class());
    if (character === '.') return { kind: 'one', test: (one) => one !== '\n' };
    if (character === '^') return { kind: 'start' };
    if (character === '$') return { kind: 'end' };
    if (character === '\\' && this.#take('b')) return { kind: 'boundary' };
    if (character === '\\' && this.#take('B')) return { kind: 'inside' };
    if (character === '\\') return this.#one(this.#escape());
    if ('*+?'.includes(character)) throw refused(`nothing to repeat before "${character}"`);
    return this.#one((one) => one === character);
  }

  /** Where case does not matter, either form of a character may match. */
  #one(test: Test): Node {
    if (!this.#anyCase) return { kind: 'one', test };
    return { kind: 'one', test: (one) => test(one) || test(one.toLowerCase()) || test(one.toUpperCase()) };
  }

  #group(): Node {
    if (this.#take('?') && !this.#take(':')) throw refused('look-around and named groups');
    if (++this.#depth > MOST_DEPTH) throw refused('its groups are nested too deeply');
    const node = this.#alternatives();
    this.#depth--;
    if (!this.#take(')')) throw refused('a group is not closed');
    return node;
  }

  #escape(): Test {
    const character = this.#text[this.#at++];
    if (character === undefined) throw refused('it ends in a backslash');
    const known = CLASSES[character];
    if (known) return known;
    if (character === 'n') return (one) => one === '\n';
    if (character === 't') return (one) => one === '\t';
    if (/[\p{L}\d]/u.test(character)) throw refused(`\\${character}`);
    return (one) => one === character;
  }

  #class(): Test {
    const negated = this.#take('^');
    const tests: Test[] = [];
    for (let first = true; first || this.#text[this.#at] !== ']'; first = false) {
      const character = this.#text[this.#at++];
      if (character === undefined) throw refused('a class is not closed');
      if (character === '\\') tests.push(this.#escape());
      else if (this.#text[this.#at] === '-' && ![']', undefined].includes(this.#text[this.#at + 1])) {
        const last = this.#text[this.#at + 1];
        this.#at += 2;
        if (last < character) throw refused(`bad range ${character}-${last}`);
        tests.push((one) => one >= character && one <= last);
      } else tests.push((one) => one === character);
    }
    this.#at++;
    const any = (one: string) => tests.some((test) => test(one));
    // what is shut out is shut out in either form
    const known = this.#anyCase ? (one: string) => any(one) || any(one.toLowerCase()) || any(one.toUpperCase()) : any;
    return (one) => known(one) !== negated;
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }
}

const CLASSES: Record<string, Test> = {
  d: (one) => one >= '0' && one <= '9',
  D: (one) => !(one >= '0' && one <= '9'),
  w: (one) => /^\w$/.test(one),
  W: (one) => !/^\w$/.test(one),
  s: (one) => /^\s$/.test(one),
  S: (one) => !/^\s$/.test(one),
};
