// Rules of a GBNF grammar (llama.cpp's notation): equal bodies share a rule, names are given here.

export class Rules {
  private readonly bodies = new Map<string, string>();
  private readonly names = new Map<string, string>();
  private readonly stems = new Map<string, number>();

  /** The name of a rule with this body. @param hint what the name begins with */
  add(hint: string, body: string): string {
    const known = this.names.get(body);
    if (known) return known;
    const name = this.reserve(hint);
    this.define(name, body);
    return name;
  }

  /** A name for a rule that is defined later: recursion. */
  reserve(hint: string): string {
    const stem = hint.replace(/[^a-zA-Z0-9]+/g, '-').replace(/^-+|-+$/g, '') || 'rule';
    let name = stem;
    let i = this.stems.get(stem) ?? 1;
    for (; this.bodies.has(name); i++) name = `${stem}-${i}`;
    this.stems.set(stem, i);
    this.bodies.set(name, '');
    return name;
  }

  define(name: string, body: string): void {
    this.bodies.set(name, body);
    if (!this.names.has(body)) this.names.set(body, name);
  }

  print(root: string): string {
    const lines = [...this.bodies].map(([name, body]) => `${name} ::= ${body}`);
    return [`root ::= ${root}`, ...lines].join('\n');
  }
}

/** Exactly this text. */
export function literal(text: string): string {
  const escaped = text.replace(/["\\\p{Cc}]/gu, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`;
  });
  return `"${escaped}"`;
}

/** Any of these; in parentheses when there are several. */
export function anyOf(alternatives: readonly string[]): string {
  const different = [...new Set(alternatives)];
  return different.length === 1 ? different[0] : `(${different.join(' | ')})`;
}

/** One of these texts, none of them twice; what several begin with is written once, so that few of them are open at a time. */
export function oneOfTexts(texts: readonly string[]): string {
  const groups = new Map<string, string[]>();
  for (const text of texts) {
    const [first = ''] = text;
    const group = groups.get(first);
    if (group) group.push(text);
    else groups.set(first, [text]);
  }
  return anyOf(
    [...groups.values()].map((group) => {
      if (group.length === 1) return literal(group[0]);
      const start = commonStart(group);
      return `${literal(start)} ${oneOfTexts(group.map((text) => text.slice(start.length)))}`;
    }),
  );
}

function commonStart([first, ...others]: readonly string[]): string {
  let end = first.length;
  for (const text of others) {
    let at = 0;
    while (at < end && text[at] === first[at]) at++;
    end = at;
  }
  // a character outside the basic plane stays whole
  return first.slice(0, /[\uD800-\uDBFF]/.test(first[end - 1]) ? end - 1 : end);
}

/** `body` at least `least` and at most `most` times. */
export function repeat(body: string, least: number, most: number): string {
  if (most === Number.POSITIVE_INFINITY)
    return least === 0 ? `${body}*` : least === 1 ? `${body}+` : `${body}{${least},}`;
  if (least === 0 && most === 1) return `${body}?`;
  return least === most ? (least === 1 ? body : `${body}{${least}}`) : `${body}{${least},${most}}`;
}
