// Drafts. From the last answers: see recent-answers.ts. From the prompt: what followed the same few tokens before is likely to follow again (copied ids, names, quotations, JSON keys).
// Saxena, "Prompt Lookup Decoding", 2023. Drafts are checked by the model, so answers do not change.

const LONGEST_MATCH = 4;
const SHORTEST_MATCH = 2;
const LONGEST_DRAFT = 6;
/** How likely a draft must be right to its end. */
const LIKELY = 0.5;
/** Of drafts from answers. */
const LONGEST_LIKELY = 8;
/** Evaluating a drafted token costs a part of a step; below this share of hits drafts are not worth it. */
const WORTHWHILE = 0.4;
const PAUSE_TOKENS = 24;
/** Last tokens that tell what follows. */
const CONTEXT = 8;

/** What is likely to follow a text, and how likely. */
export type NextToken = (text: readonly number[]) => { token: number; share: number } | undefined;

/** Proposes tokens for one answer and remembers whether it was right. */
export class Drafter {
  private readonly text: number[];
  private readonly next: NextToken;
  private hits = 0.5;
  private pausedUntil = 0;

  constructor(prompt: readonly number[], next: NextToken = () => undefined) {
    this.text = [...prompt];
    this.next = next;
  }

  took(token: number): void {
    this.text.push(token);
  }

  /** @param room most tokens to propose */
  propose(room: number): number[] {
    const { text } = this;
    if (room <= 0 || text.length < this.pausedUntil) return [];
    const known = this.likely(Math.min(room, LONGEST_LIKELY));
    if (known.length > 0) return known;
    const most = Math.min(room, LONGEST_DRAFT);
    for (let size = LONGEST_MATCH; size >= SHORTEST_MATCH; size--) {
      const end = lastMatch(text, size);
      if (end !== undefined) return text.slice(end, end + most);
    }
    return [];
  }

  private likely(room: number): number[] {
    const drafts: number[] = [];
    const end = this.text.slice(-CONTEXT);
    for (let share = 1; drafts.length < room; ) {
      const next = this.next([...end, ...drafts]);
      if (!next || share * next.share < LIKELY) break;
      share *= next.share;
      drafts.push(next.token);
    }
    return drafts;
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
