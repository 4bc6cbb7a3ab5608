// What the last answers say after the same few tokens: the answers of a narrow job are made of the same pieces. An n-gram model of
// them drafts whole runs of an answer's frame (JSON keys, label names), which the language model only checks.
// As He et al., "REST: Retrieval-Based Speculative Decoding", 2023, with a memory of answers in place of a corpus.

/** Tokens that decide which may come next. */
const ORDER = 3;
const REMEMBERED = 64;
/** Of one answer. */
const MOST_TOKENS = 256;
/** Seen less often, a continuation says nothing. */
const LEAST_SEEN = 4;

interface Remembered {
  readonly adapter: string | undefined;
  /** The end of the prompt and the answer. */
  readonly text: readonly number[];
}

export class RecentAnswers {
  private readonly answers: Remembered[] = [];
  private readonly counts = new Map<string, Map<number, number>>();

  add(adapter: string | undefined, prompt: readonly number[], answer: readonly number[]): void {
    if (answer.length === 0) return;
    const text = [...prompt.slice(-ORDER), ...answer.slice(0, MOST_TOKENS)];
    this.count({ adapter, text }, 1);
    this.answers.push({ adapter, text });
    if (this.answers.length > REMEMBERED) this.count(this.answers.shift()!, -1);
  }

  /** @returns the token that most often followed the last ones of `text`, and in which share of the cases; undefined when rarely seen */
  next(adapter: string | undefined, text: readonly number[]): { token: number; share: number } | undefined {
    const followers = this.counts.get(keyOf(adapter, text, text.length));
    if (!followers) return undefined;
    let [token, most, all] = [-1, 0, 0];
    for (const [each, count] of followers) {
      all += count;
      if (count > most) [token, most] = [each, count];
    }
    return all < LEAST_SEEN ? undefined : { token, share: most / all };
  }

  private count({ adapter, text }: Remembered, change: 1 | -1): void {
    for (let at = ORDER; at < text.length; at++) {
      const key = keyOf(adapter, text, at);
      const followers = this.counts.get(key) ?? new Map<number, number>();
      const count = (followers.get(text[at]) ?? 0) + change;
      if (count > 0) followers.set(text[at], count);
      else followers.delete(text[at]);
      if (followers.size > 0) this.counts.set(key, followers);
      else this.counts.delete(key);
    }
  }
}

function keyOf(adapter: string | undefined, text: readonly number[], end: number): string {
  return `${text.slice(Math.max(0, end - ORDER), end).join(' ')} ${adapter ?? ''}`;
}
