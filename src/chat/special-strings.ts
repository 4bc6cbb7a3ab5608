// Finds the strings of control tokens in text, and hides them behind private characters so that user text cannot forge them.

/** Finds occurrences of any of a set of strings, the longest first at each place. */
export class StringFinder {
  private readonly byFirst = new Map<string, { lengths: number[]; words: Set<string> }>();

  constructor(words: Iterable<string>) {
    for (const word of words) {
      if (word === '') continue;
      const group = this.byFirst.get(word[0]) ?? { lengths: [], words: new Set<string>() };
      group.words.add(word);
      if (!group.lengths.includes(word.length)) group.lengths.push(word.length);
      this.byFirst.set(word[0], group);
    }
    for (const group of this.byFirst.values()) group.lengths.sort((a, b) => b - a);
  }

  /** Cuts text into plain runs and found words, in order; empty runs are left out. */
  split(text: string): { text: string; found: boolean }[] {
    const parts: { text: string; found: boolean }[] = [];
    let from = 0;
    for (let at = 0; at < text.length; ) {
      const word = this.matchAt(text, at);
      if (word === undefined) {
        at++;
        continue;
      }
      if (at > from) parts.push({ text: text.slice(from, at), found: false });
      parts.push({ text: word, found: true });
      at += word.length;
      from = at;
    }
    if (from < text.length) parts.push({ text: text.slice(from), found: false });
    return parts;
  }

  /** Length of the longest end of `text` that begins a word without completing it, 0 if there is none. */
  danglingStart(text: string): number {
    for (let at = Math.max(0, text.length - 64); at < text.length; at++) {
      const tail = text.slice(at);
      for (const word of this.byFirst.get(tail[0])?.words ?? []) {
        if (word.length > tail.length && word.startsWith(tail)) return tail.length;
      }
    }
    return 0;
  }

  private matchAt(text: string, at: number): string | undefined {
    const group = this.byFirst.get(text[at]);
    if (!group) return undefined;
    for (const length of group.lengths) {
      const word = text.slice(at, at + length);
      if (group.words.has(word)) return word;
    }
    return undefined;
  }
}

/** Stands private characters for strings, one each, and puts the strings back. */
export class Disguise {
  private readonly byString = new Map<string, string>();
  private readonly byCharacter = new Map<string, string>();
  private readonly free: Iterator<string>;

  /** @param taken text of everything that may appear beside the disguises: its own private characters are not used */
  constructor(taken: readonly string[]) {
    const present = new Set(taken.flatMap((text) => text.match(/[\uE000-\uF8FF]/g) ?? []));
    this.free = privateCharacters(present);
  }

  hide(text: string): string {
    const known = this.byString.get(text);
    if (known !== undefined) return known;
    const { value, done } = this.free.next();
    if (done) throw new Error('all private characters are in use');
    this.byString.set(text, value);
    this.byCharacter.set(value, text);
    return value;
  }

  /** What a character stands for, if it is a disguise. */
  reveal(character: string): string | undefined {
    return this.byCharacter.get(character);
  }
}

function* privateCharacters(present: ReadonlySet<string>): Generator<string> {
  for (let code = 0xe000; code <= 0xf8ff; code++) {
    const character = String.fromCharCode(code);
    if (!present.has(character)) yield character;
  }
}
