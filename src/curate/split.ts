// Deals conversations to train, calibration and test by their content, so that the order of rows does not matter and
// neither a conversation nor a near-duplicate of it is in two splits.
import { sha256 } from '../base/hash.ts';
import { passagePairs } from '../base/overlap.ts';
import { distinctiveShingles, Groups, nearDuplicatePairs, plainText } from '../base/similarity.ts';
import { type ChatMessage, messageText } from '../chat/messages.ts';

export type SplitName = 'train' | 'calibration' | 'test';

/** What the split looks at of a row. */
export interface SplitRow {
  messages: ChatMessage[];
  content: string;
}

export interface Clusters {
  /** Number of the cluster of each row. */
  of: number[];
  count: number;
  /** Clusters with more than one row, and the rows in them. */
  shared: { clusters: number; rows: number };
}

/** What the user's side said: every turn but the system prompt (shared by all rows) and the assistant's. */
export function askedText(messages: readonly ChatMessage[]): string {
  return messages
    .filter((message) => message.role === 'user' || message.role === 'tool')
    .map(messageText)
    .join('\n');
}

/** Share of a row's long n-grams found in other rows from which they belong together; the evaluation refuses at 0.8. */
export const PASSAGES = 0.6;

/**
 * Clusters of conversations that must stay together: the same words asked, near-duplicates at `threshold` (Jaccard), the
 * recorded prefixes of one growing conversation, and rows that share long passages (questions about one document).
 */
export function clusterRows(rows: readonly SplitRow[], threshold: number): Clusters {
  const groups = new Groups(rows.length);
  const texts = rows.map((row) => askedText(row.messages));
  const first = new Map<string, number>();
  const joinBy = (key: string, i: number) => {
    const seen = first.get(key);
    if (seen === undefined) first.set(key, i);
    else groups.join(seen, i);
  };
  for (let i = 0; i < rows.length; i++) joinBy(`asked ${plainText(texts[i]) || texts[i]}`, i);
  const openings = rows.map((row) => openingOf(row.messages));
  const times = new Map<string, number>();
  for (const opening of openings) times.set(opening, (times.get(opening) ?? 0) + 1);
  openings.forEach((opening, i) => {
    // an opening of very many conversations is a prompt that they share
    if (opening.length >= 40 && times.get(opening)! <= Math.max(10, rows.length / 5)) joinBy(`opening ${opening}`, i);
  });
  nearDuplicatePairs(
    distinctiveShingles(texts),
    { threshold },
    (i, j) => groups.join(i, j),
    (i, j) => groups.find(i) === groups.find(j),
  );
  passagePairs(texts, PASSAGES, (i, j) => groups.join(i, j));
  return numbered(rows.map((_, i) => groups.find(i)));
}

/** First user and assistant turn: logs often hold a growing conversation once for every turn. */
function openingOf(messages: readonly ChatMessage[]): string {
  const turns = messages.filter((message) => message.role === 'user' || message.role === 'assistant');
  return turns.slice(0, 2).map(messageText).join('\n');
}

function numbered(roots: number[]): Clusters {
  const numbers = new Map<number, number>();
  const sizes: number[] = [];
  const of = roots.map((root) => {
    const number = numbers.get(root) ?? numbers.size;
    numbers.set(root, number);
    sizes[number] = (sizes[number] ?? 0) + 1;
    return number;
  });
  const shared = sizes.filter((size) => size > 1);
  return { of, count: sizes.length, shared: { clusters: shared.length, rows: shared.reduce((a, b) => a + b, 0) } };
}

/** Rows wanted in the held-out splits; the rest is for training. */
export interface Quotas {
  test: number;
  calibration: number;
}

/** Shares of n rows, raised for small files to what a verdict needs, as far as training can spare it. */
export function quotas(n: number, shares: { test: number; calibration: number }): Quotas {
  const atLeast = (share: number, minimum: number, most: number) =>
    share === 0 || n < 3 ? 0 : Math.max(1, Math.round(n * share), Math.min(minimum, Math.floor(n * most)));
  return { test: atLeast(shares.test, 100, 0.25), calibration: atLeast(shares.calibration, 80, 0.2) };
}

/**
 * Whole clusters, in the order of a hash of their content, fill the test split, then calibration; a cluster that does not
 * fit goes on to the next. So adding rows moves few others, and their order moves none.
 */
export function dealClusters(rows: readonly SplitRow[], clusters: Clusters, quota: Quotas): SplitName[] {
  const members: number[][] = Array.from({ length: clusters.count }, () => []);
  clusters.of.forEach((cluster, i) => {
    members[cluster].push(i);
  });
  const keyed = members
    .filter((indices) => indices.length > 0)
    .map((indices) => ({ indices, key: sha256(indices.map((i) => rows[i].content).sort()[0]) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const left: Quotas = { ...quota };
  const result: SplitName[] = new Array(rows.length);
  for (const { indices } of keyed) {
    const split = (['test', 'calibration'] as const).find((name) => indices.length <= left[name]) ?? 'train';
    if (split !== 'train') left[split] -= indices.length;
    for (const i of indices) result[i] = split;
  }
  return result;
}
