// Regular expressions that can never take long: parsed and run as a set of states, without backtracking.
// Thompson, "Regular expression search algorithm", 1968.
import { type Node, type Place, parsePattern, refused, type Test } from './pattern-parser.ts';

type State = { test: Test; next: number } | { fork: number[] } | { at: Place; next: number } | { done: true };

const MOST_STATES = 20_000;

/** Literals, `.`, `[...]`, `\d \w \s \b`, groups, `|`, `* + ? {m,n}`, `^`, `$`, `(?i)` at the start. No references, no look-around. */
export class SafePattern {
  readonly #states: State[] = [];
  readonly #start: number;

  /** @throws CupelError for anything else */
  constructor(pattern: string) {
    this.#start = this.#compile(parsePattern(pattern), this.#add({ done: true }));
  }

  /** Does it match anywhere in the text? Time is at most length times states. */
  test(text: string): boolean {
    const characters = [...text];
    let current = new Set<number>();
    for (let at = 0; at <= characters.length; at++) {
      this.#enter(this.#start, at, characters, current);
      for (const index of current) if ('done' in this.#states[index]) return true;
      const next = new Set<number>();
      for (const index of current) {
        const state = this.#states[index];
        if ('test' in state && at < characters.length && state.test(characters[at])) {
          this.#enter(state.next, at + 1, characters, next);
        }
      }
      current = next;
    }
    return false;
  }

  #enter(from: number, at: number, characters: readonly string[], into: Set<number>): void {
    const open = [from];
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      if (into.has(index)) continue;
      const state = this.#states[index];
      if ('at' in state && !isAt(state.at, at, characters)) continue;
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

function isAt(place: Place, at: number, characters: readonly string[]): boolean {
  if (place === 'start') return at === 0;
  if (place === 'end') return at === characters.length;
  const isWord = (one: string | undefined) => one !== undefined && /^\w$/.test(one);
  return (isWord(characters[at - 1]) !== isWord(characters[at])) === (place === 'boundary');
}
