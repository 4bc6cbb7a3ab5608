// Texts as sparse vectors without a model: single tokens and runs of neighbours, where a Chinese character is a token as a word is.

export interface Sparse {
  /** Indices, each once. */
  readonly at: readonly number[];
  readonly values: readonly number[];
}

export function grams(text: string, longest = 2): string[] {
  const tokens = text.toLowerCase().match(/\p{Script=Han}|[^\p{Script=Han}\P{L}]+|\p{N}+|[^\p{L}\p{N}\s]/gu) ?? [];
  return tokens.flatMap((_, i) =>
    Array.from({ length: Math.min(longest, tokens.length - i) }, (__, n) => tokens.slice(i, i + n + 1).join(' ')),
  );
}

/** Grams that stand in two texts or more, weighted by how few they stand in (TF-IDF); vectors have length 1. */
export class Vocabulary {
  private readonly index = new Map<string, number>();
  private readonly weights: number[] = [];
  private readonly longest: number;

  constructor(texts: readonly string[], longest = 2) {
    this.longest = longest;
    const documents = new Map<string, number>();
    for (const text of texts)
      for (const gram of new Set(grams(text, longest))) documents.set(gram, (documents.get(gram) ?? 0) + 1);
    for (const [gram, count] of documents) {
      if (count < 2) continue;
      this.index.set(gram, this.weights.length);
      this.weights.push(1 + Math.log(texts.length / count));
    }
  }

  get size(): number {
    return this.weights.length;
  }

  vector(text: string): Sparse {
    const counts = new Map<number, number>();
    for (const gram of grams(text, this.longest)) {
      const at = this.index.get(gram);
      if (at !== undefined) counts.set(at, (counts.get(at) ?? 0) + 1);
    }
    const at = [...counts.keys()];
    const values = at.map((index) => (1 + Math.log(counts.get(index)!)) * this.weights[index]);
    const norm = Math.hypot(...values) || 1;
    return { at, values: values.map((value) => value / norm) };
  }
}

export function dot(a: Sparse, b: Sparse): number {
  const other = new Map(b.at.map((index, i) => [index, b.values[i]]));
  return a.at.reduce((sum, index, i) => sum + a.values[i] * (other.get(index) ?? 0), 0);
}

export function joined(...parts: readonly Sparse[]): Sparse {
  return { at: parts.flatMap(({ at }) => at), values: parts.flatMap(({ values }) => values) };
}
