// Rules of a GBNF grammar (llama.cpp's notation): equal bodies share a rule, names are given here.

export class Rules {
  private readonly bodies = new Map<string, string>();
  private readonly names = new Map<string, string>();

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
    for (let i = 1; this.bodies.has(name); i++) name = `${stem}-${i}`;
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

/** `body` at least `least` and at most `most` times. */
export function repeat(body: string, least: number, most: number): string {
  if (most === Number.POSITIVE_INFINITY)
    return least === 0 ? `${body}*` : least === 1 ? `${body}+` : `${body}{${least},}`;
  if (least === 0 && most === 1) return `${body}?`;
  return least === most ? (least === 1 ? body : `${body}{${least}}`) : `${body}{${least},${most}}`;
}
