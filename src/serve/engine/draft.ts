// Prompt-lookup drafts: what followed the same few tokens before is likely to follow again (copied ids, names, quotations, JSON keys).
// Saxena, "Prompt Lookup Decoding", 2023; drafts are checked by the model, so answers do not change.

const LONGEST_MATCH = 4;
const SHORTEST_MATCH = 2;
const LONGEST_DRAFT = 6;
/** Evaluating a drafted token costs a part of a step; below this share of hits drafts are not worth it. */
const WORTHWHILE = 0.4;
const PAUSE_TOKENS = 24;

/** Proposes tokens for one answer and remembers whether it was right. */
export class Drafter {
  private readonly text: number[];
  private hits = 0.5;
  private pausedUntil = 0;

  constructor(prompt: readonly number[]) {
    this.text = [...prompt];
  }

  took(token: number): void {
    this.text.push(token);
  }

  /** @param room most tokens to propose */
  propose(room: number): number[] {
    const { text } = this;
    const most = Math.min(room, LONGEST_DRAFT);
    if (most <= 0 || text.length < this.pausedUntil) return [];
    for (let size = LONGEST_MATCH; size >= SHORTEST_MATCH; size--) {
      const end = lastMatch(text, size);
      if (end !== undefined) return text.slice(end, end + most);
    }
    return [];
  }

  checked(drafted: number, accepted: number): void {
    this.hits += 0.3 * (accepted / drafted - this.hits);
    if (this.hits >= WORTHWHILE) return;
    this.pausedUntil = this.text.length + PAUSE_TOKENS;
    this.hits = WORTHWHILE;
  }
}

/** Where the latest earlier occurrence of the last `size` tokens ends. */
function lastMatch(text: readonly number[], size: number): number | undefined {
  const tail = text.length - size;
  for (let start = tail - 1; start >= 0; start--) {
    let same = 0;
    while (same < size && text[start + same] === text[tail + same]) same++;
    if (same === size) return start + size;
  }
  return undefined;
}
