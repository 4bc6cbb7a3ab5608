// Regular expressions as automata that know at every character where they are, so that no pattern makes the sampler slow.
import { CupelError } from '../../base/errors.ts';

export type Range = [from: number, to: number];

export type Expression =
  | { kind: 'set'; ranges: readonly Range[] }
  | { kind: 'sequence'; items: readonly Expression[] }
  | { kind: 'either'; items: readonly Expression[] }
  | { kind: 'repeat'; item: Expression; least: number; most: number };

/** A place in a text: where each range of characters leads, and whether the text may end there. */
export interface Place {
  ends: boolean;
  ways: { ranges: Range[]; to: number }[];
}

/** Characters that a text may have. */
export interface Lengths {
  least: number;
  most: number;
}

const MOST_STATES = 20_000;
const MOST_PLACES = 2048;

/** What all expressions of a schema together may cost to look through. */
export class Effort {
  private left = 2_000_000;

  /** @throws CupelError when it is used up */
  spend(steps: number): void {
    this.left -= steps;
    if (this.left < 0) throw tooLarge();
  }
}

/** @returns places, the first is the start; none where nothing matches @throws CupelError for one that grows too large */
export function automatonOf(expression: Expression, lengths: Lengths, effort: Effort): Place[] {
  return alive(new Subsets(new States(expression, effort), lengths, effort).places());
}

/** @param places of `automatonOf` */
export function matches(places: readonly Place[], text: string): boolean {
  let at = places[0];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const way = at?.ways.find(({ ranges }) => ranges.some(([from, to]) => from <= code && code <= to));
    if (!way) return false;
    at = places[way.to];
  }
  return at?.ends ?? false;
}

interface State {
  empty: number[];
  ranges?: readonly Range[];
  next?: number;
}

/** Thompson's construction: a state for each character of the expression, and empty steps between them. */
class States {
  readonly list: State[] = [];
  readonly start: number;
  readonly end: number;
  private readonly effort: Effort;

  constructor(expression: Expression, effort: Effort) {
    this.effort = effort;
    this.end = this.add();
    this.start = this.before(expression, this.end);
  }

  /** States that match the expression and go on to `next`. @returns the first of them */
  private before(expression: Expression, next: number): number {
    switch (expression.kind) {
      case 'set':
        return this.add({ empty: [], ranges: expression.ranges, next });
      case 'sequence':
        return expression.items.reduceRight((to, item) => this.before(item, to), next);
      case 'either':
        return this.add({ empty: expression.items.map((item) => this.before(item, next)) });
      case 'repeat':
        return this.repeated(expression, next);
    }
  }

  private repeated({ item, least, most }: Expression & { kind: 'repeat' }, next: number): number {
    let to = next;
    if (most === Number.POSITIVE_INFINITY) {
      to = this.add();
      this.list[to].empty.push(this.before(item, to), next);
    } else for (let i = least; i < most; i++) to = this.add({ empty: [this.before(item, to), next] });
    for (let i = 0; i < least; i++) to = this.before(item, to);
    return to;
  }

  private add(state: State = { empty: [] }): number {
    this.effort.spend(10);
    if (this.list.length >= MOST_STATES) throw tooLarge();
    return this.list.push(state) - 1;
  }
}

/** The subset construction, with the length counted beside. */
class Subsets {
  private readonly states: States;
  private readonly lengths: Lengths;
  private readonly counted: number;
  private readonly numbers = new Map<string, number>();
  private readonly waiting: { states: number[]; length: number }[] = [];
  private readonly effort: Effort;

  constructor(states: States, lengths: Lengths, effort: Effort) {
    this.states = states;
    this.effort = effort;
    this.lengths = lengths;
    // beyond the least length all are alike where there is no greatest one
    this.counted = lengths.most === Number.POSITIVE_INFINITY ? lengths.least : lengths.most;
  }

  places(): Place[] {
    const places: Place[] = [];
    this.numberOf(this.closure([this.states.start]), 0);
    while (places.length < this.waiting.length) places.push(this.place(this.waiting[places.length]));
    return places;
  }

  private place({ states, length }: { states: number[]; length: number }): Place {
    const ends = states.includes(this.states.end) && length >= this.lengths.least;
    if (length >= this.lengths.most) return { ends, ways: [] };
    const steps = states.map((at) => this.states.list[at]).filter(({ ranges }) => ranges !== undefined);
    const byTarget = new Map<number, Range[]>();
    for (const [range, targets] of this.parts(steps)) {
      const to = this.numberOf(this.closure(targets), Math.min(length + 1, this.counted));
      const ranges = byTarget.get(to) ?? [];
      const last = ranges.at(-1);
      if (last && last[1] + 1 === range[0]) last[1] = range[1];
      else ranges.push(range);
      byTarget.set(to, ranges);
    }
    return { ends, ways: [...byTarget].map(([to, ranges]) => ({ ranges, to })) };
  }

  /** Ranges that do not overlap, in order, each with all states it leads to. */
  private parts(steps: readonly State[]): [Range, number[]][] {
    const borders = new Set(steps.flatMap(({ ranges }) => ranges!.flatMap(([from, to]) => [from, to + 1])));
    const sorted = [...borders].sort((a, b) => a - b);
    const cost = steps.reduce((sum, { ranges }) => sum + ranges!.length, 0);
    return sorted.slice(0, -1).flatMap((from, i): [Range, number[]][] => {
      this.effort.spend(cost);
      const inside = steps.filter(({ ranges }) => ranges!.some(([low, high]) => low <= from && from <= high));
      const targets = [...new Set(inside.map(({ next }) => next!))];
      return targets.length === 0 ? [] : [[[from, sorted[i + 1] - 1], targets]];
    });
  }

  private closure(from: readonly number[]): number[] {
    const reached = new Set(from);
    for (const at of reached) {
      this.effort.spend(1 + this.states.list[at].empty.length);
      for (const next of this.states.list[at].empty) reached.add(next);
    }
    return [...reached].filter((at) => at === this.states.end || this.states.list[at].ranges).sort((a, b) => a - b);
  }

  private numberOf(states: number[], length: number): number {
    const key = `${length}:${states.join()}`;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    this.effort.spend(500);
    if (this.waiting.length >= MOST_PLACES) throw tooLarge();
    this.numbers.set(key, this.waiting.length);
    return this.waiting.push({ states, length }) - 1;
  }
}

/** Without the places from which no end can be reached. */
function alive(places: Place[]): Place[] {
  const before = places.map((): number[] => []);
  for (const [at, { ways }] of places.entries()) for (const { to } of ways) before[to].push(at);
  const good = new Set(places.flatMap(({ ends }, at) => (ends ? [at] : [])));
  for (const at of good) for (const each of before[at]) good.add(each);
  if (!good.has(0)) return [];
  const numbers = new Map([...good].sort((a, b) => a - b).map((at, number) => [at, number]));
  return [...numbers.keys()].map((at) => ({
    ends: places[at].ends,
    ways: places[at].ways.filter(({ to }) => good.has(to)).map(({ ranges, to }) => ({ ranges, to: numbers.get(to)! })),
  }));
}

const tooLarge = () => new CupelError('it is too large');
