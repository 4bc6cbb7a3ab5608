// Regular expressions that can never take long: parsed and run as a set of states, without backtracking.
// Thompson, "Regular expression search algorithm", 1968.
import { CupelError } from '../../base/errors.ts';

type Test = (character: string) => boolean;
type Node =
  | { kind: 'one'; test: Test }
  | { kind: 'all' | 'any'; parts: Node[] }
  | { kind: 'repeat'; part: Node; least: number; most: number }
  | { kind: 'start' | 'end' };
type State = { test: Test; next: number } | { fork: number[] } | { at: 'start' | 'end'; next: number } | { done: true };

/** Copies that `{m,n}` may make of a part, so that patterns stay small. */
const MOST_REPEATS = 1000;
const MOST_STATES = 20_000;

/** Literals, `.`, `[...]`, `\d \w \s`, groups, `|`, `* + ? {m,n}`, `^`, `$`. No references, no look-around. */
export class SafePattern {
  readonly #states: State[] = [];
  readonly #start: number;

  /** @throws CupelError for anything else */
  constructor(pattern: string) {
    const node = new Parser(pattern).parse();
    this.#start = this.#compile(node, this.#add({ done: true }));
  }

  /** Does it match anywhere in the text? Time is at most length times states. */
  test(text: string): boolean {
    const characters = [...text];
    let current = new Set<number>();
    for (let at = 0; at <= characters.length; at++) {
      this.#enter(this.#start, at, characters.length, current);
      for (const index of current) if ('done' in this.#states[index]) return true;
      const next = new Set<number>();
      for (const index of current) {
        const state = this.#states[index];
        if ('test' in state && at < characters.length && state.test(characters[at])) {
          this.#enter(state.next, at + 1, characters.length, next);
        }
      }
      current = next;
    }
    return false;
  }

  #enter(from: number, at: number, length: number, into: Set<number>): void {
    const open = [from];
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (into.has(index)) continue;
      const state = this.#states[index];
      if ('at' in state && (state.at === 'start' ? at !== 0 : at !== length)) continue;
      into.add(index);
      if ('fork' in state) open.push(...state.fork);
      else if ('at' in state) open.push(state.next);
    }
  }

  #add(state: State): number {
    if (this.#states.length >= MOST_STATES) throw refused('it repeats too much');
    return this.#states.push(state) - 1;
  }

  #compile(node: Node, next: number): number {
    if (node.kind === 'one') return this.#add({ test: node.test, next });
    if (node.kind === 'all') return node.parts.reduceRight((after, part) => this.#compile(part, after), next);
    if (node.kind === 'any') return this.#add({ fork: node.parts.map((part) => this.#compile(part, next)) });
    if (node.kind !== 'repeat') return this.#add({ at: node.kind, next });
    let after = next;
    if (node.most === Number.POSITIVE_INFINITY) {
      const fork: State & { fork: number[] } = { fork: [next] };
      after = this.#add(fork);
      fork.fork.push(this.#compile(node.part, after));
    } else {
      for (let i = node.least; i < node.most; i++) {
        after = this.#add({ fork: [this.#compile(node.part, after), next] });
      }
    }
    for (let i = 0; i < node.least; i++) after = this.#compile(node.part, after);
    return after;
  }
}

function refused(why: string): CupelError {
  return new CupelError(`not a pattern that is safe to run: ${why}`, {
    remedy: 'use literals, classes, groups, | and repeats, without references and look-around',
    exitCode: 2,
  });
}

class Parser {
  readonly #text: string[];
  #at = 0;

  constructor(pattern: string) {
    this.#text = [...pattern];
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
    if (character === '[') return { kind: 'one', test: this.#class() };
    if (character === '.') return { kind: 'one', test: (one) => one !== '\n' };
    if (character === '^') return { kind: 'start' };
    if (character === '$') return { kind: 'end' };
    if (character === '\\') return { kind: 'one', test: this.#escape() };
    if ('*+?'.includes(character)) throw refused(`nothing to repeat before "${character}"`);
    return { kind: 'one', test: (one) => one === character };
  }

  #group(): Node {
    if (this.#take('?') && !this.#take(':')) throw refused('look-around and named groups');
    const node = this.#alternatives();
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
    return (one) => tests.some((test) => test(one)) !== negated;
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
