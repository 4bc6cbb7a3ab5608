// Held-out items that training rows give away: a verdict on them would be about memory, not skill.
import { findLeaks } from '../base/overlap.ts';
import { type Example, messageText, promptOf } from '../chat/messages.ts';

export interface Contamination {
  /** Test items that are near-duplicates of training rows, or whose long passages stand in them. */
  nearDuplicates: number;
  passages: number;
  /** The first of them. */
  items: { test: string; seen: string; kind: 'near-duplicate' | 'n-grams' }[];
}

/**
 * A little above the import's 0.7 and 0.6, which leaves such rows out: so what it let through is never refused, because what
 * texts share counts a little differently once some are gone, and copies with a few edits are.
 */
const LIMITS = { nearDuplicate: 0.75, containment: 0.7 };

export function contaminationOf(test: readonly Example[], seen: readonly Example[]): Contamination {
  const leaks = findLeaks(test.map(asked), seen.map(asked), LIMITS);
  const nearDuplicates = leaks.filter((leak) => leak.kind === 'near-duplicate').length;
  const items = leaks.slice(0, 20).map((leak) => ({
    test: test[leak.held].id,
    seen: seen[[...leak.seen][0]].id,
    kind: leak.kind,
  }));
  return { nearDuplicates, passages: leaks.length - nearDuplicates, items };
}

/** What the user's side said; the system prompt is the same for all. */
function asked(example: Example): string {
  return promptOf(example)
    .filter((message) => message.role === 'user' || message.role === 'tool')
    .map(messageText)
    .join('\n');
}
