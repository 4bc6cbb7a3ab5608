// Near-duplicate texts: shingles, their exact Jaccard similarity, and MinHash with bands to find the pairs in linear time.
// Broder, "On the resemblance and containment of documents", 1997; banding after Leskovec et al., "Mining of Massive Datasets", ch. 3.

/** Sorted distinct 32-bit hashes of a text's shingles. */
export type Shingles = Uint32Array;

export interface SimilarityOptions {
  /** Jaccard similarity from which two texts are near-duplicates. */
  threshold: number;
}

/** Long texts are represented by this many shingles, the smallest hashes (a bottom-k sketch). */
const SKETCH = 1024;
const BANDS = 24;
const ROWS = 4;
const CJK = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/gu;

/** Case, width, punctuation and white space do not make a text new. */
export function plainText(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

/** Character 5-grams of the plain text, 3-grams where most letters are Chinese, Japanese or Korean. */
export function shingles(text: string): Shingles {
  const plain = plainText(text);
  const size = (plain.match(CJK)?.length ?? 0) * 2 > plain.length ? 3 : 5;
  const found = new Set<number>();
  if (plain.length <= size) found.add(fnv(plain));
  for (let at = 0; at + size <= plain.length; at++) found.add(fnv(plain, at, at + size));
  return Uint32Array.from(found).sort();
}

/**
 * The shingles that tell items apart: those in more than a fifth of all texts (and in more than 10) belong to the prompt
 * that all items share, and are left out. A text left with nothing keeps what it had. Long texts are cut to a sketch.
 */
export function distinctiveShingles(texts: readonly string[]): Shingles[] {
  const all = texts.map(shingles);
  const documents = new Map<number, number>();
  for (const set of all) for (const hash of set) documents.set(hash, (documents.get(hash) ?? 0) + 1);
  const limit = Math.max(10, texts.length / 5);
  return all.map((set) => {
    const own = set.filter((hash) => documents.get(hash)! <= limit);
    return (own.length > 0 ? own : set).slice(0, SKETCH);
  });
}

/** Jaccard similarity of two sets of shingles; of two sketches, an estimate from their smallest common part. */
export function jaccard(a: Shingles, b: Shingles): number {
  const limit = a.length >= SKETCH || b.length >= SKETCH ? SKETCH : Number.POSITIVE_INFINITY;
  let i = 0;
  let j = 0;
  let both = 0;
  let union = 0;
  while (i < a.length && j < b.length && union < limit) {
    if (a[i] === b[j]) both++;
    if (a[i] <= b[j]) {
      if (a[i] === b[j]) j++;
      i++;
    } else j++;
    union++;
  }
  union = Math.min(limit, union + a.length - i + b.length - j);
  return union === 0 ? 1 : both / union;
}

/**
 * Calls `found(i, j)` for the pairs at or above the threshold that MinHash proposes: at 0.8, all but 1 in 100,000.
 * `skip(i, j)` saves the comparison of pairs whose answer is no longer of interest.
 */
export function nearDuplicatePairs(
  sets: readonly Shingles[],
  options: SimilarityOptions,
  found: (i: number, j: number) => void,
  skip: (i: number, j: number) => boolean = () => false,
): void {
  const signatures = sets.map(minHash);
  for (let band = 0; band < BANDS; band++) {
    const buckets = new Map<string, number[]>();
    signatures.forEach((signature, i) => {
      const key = signature.subarray(band * ROWS, (band + 1) * ROWS).join();
      const bucket = buckets.get(key);
      if (bucket) bucket.push(i);
      else buckets.set(key, [i]);
    });
    for (const bucket of buckets.values()) {
      for (let x = 1; x < bucket.length; x++) {
        for (let y = 0; y < x; y++) {
          const [i, j] = [bucket[y], bucket[x]];
          if (!skip(i, j) && jaccard(sets[i], sets[j]) >= options.threshold) found(i, j);
        }
      }
    }
  }
}

/** Disjoint sets (union-find); the representative of a set is its smallest member. */
export class Groups {
  private readonly parent: Uint32Array;

  constructor(size: number) {
    this.parent = Uint32Array.from({ length: size }, (_, i) => i);
  }

  find(item: number): number {
    let root = item;
    while (this.parent[root] !== root) root = this.parent[root];
    for (let at = item; at !== root; ) {
      const next = this.parent[at];
      this.parent[at] = root;
      at = next;
    }
    return root;
  }

  join(a: number, b: number): void {
    const [x, y] = [this.find(a), this.find(b)];
    this.parent[Math.max(x, y)] = Math.min(x, y);
  }
}

function minHash(set: Shingles): Uint32Array {
  const signature = new Uint32Array(BANDS * ROWS).fill(0xffffffff);
  for (const hash of set) {
    for (let k = 0; k < signature.length; k++) {
      // one multiply-and-mix per function: the constants below are odd and distinct, so that each is a permutation
      const mixed = Math.imul(hash ^ SEEDS[k], MULTIPLIERS[k]);
      const value = (mixed ^ (mixed >>> 15)) >>> 0;
      if (value < signature[k]) signature[k] = value;
    }
  }
  return signature;
}

const SEEDS = new Uint32Array(BANDS * ROWS).map((_, k) => fnv(`seed ${k}`));
const MULTIPLIERS = new Uint32Array(BANDS * ROWS).map((_, k) => fnv(`multiplier ${k}`) | 1);

/** FNV-1a with a final mix, of UTF-16 code units. */
export function fnv(text: string, from = 0, to = text.length): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return hash >>> 0;
}
