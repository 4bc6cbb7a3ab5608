// Moves journal records into the store: a batch at a time, and around single rows that the database refuses.
import type { JournalRecord } from '../journal/line.ts';
import type { Store } from './store.ts';

/**
 * Puts records into the store; offering them twice does no harm. Returns the records that the database refused even
 * after repair. @throws the driver's error when the database is away: nothing is lost, offer the batch again
 */
export async function takeOver(store: Store, records: readonly JournalRecord[]): Promise<JournalRecord[]> {
  const rejected: JournalRecord[] = [];
  for (const kind of ['x', 'f'] as const) {
    const rows = records.filter((record) => record.kind === kind).map((record) => record.json);
    const add = (some: readonly string[]) => (kind === 'x' ? store.addExchanges(some) : store.addFeedback(some));
    const refused = rows.length > 0 ? await addAround(rows, add) : [];
    rejected.push(...refused.map((json) => ({ kind, json })));
  }
  return rejected;
}

/** Adds what can be added, halving the batch around rows that the database refuses. */
async function addAround(
  rows: readonly string[],
  add: (rows: readonly string[]) => Promise<void>,
  repaired = false,
): Promise<string[]> {
  try {
    await add(rows);
    return [];
  } catch (error) {
    if (!isDataError(error)) throw error;
    if (rows.length === 1) return repaired ? [...rows] : addAround([repair(rows[0])], add, true);
    const middle = rows.length >> 1;
    return [...(await addAround(rows.slice(0, middle), add)), ...(await addAround(rows.slice(middle), add))];
  }
}

/** SQLSTATE classes 22 (data), 23 (constraint) and 54 (limits): the row is at fault, not the database. */
function isDataError(error: unknown): boolean {
  for (let inner = error; inner !== null && typeof inner === 'object'; inner = (inner as { cause?: unknown }).cause) {
    const { code } = inner as { code?: unknown };
    if (typeof code === 'string' && /^(22|23|54)[0-9A-Z]{3}$/.test(code)) return true;
  }
  return false;
}

/** PostgreSQL's text cannot hold NUL or half of a surrogate pair; both become the replacement character. */
function repair(json: string): string {
  return JSON.stringify(
    JSON.parse(json, (_name, value: unknown) => (typeof value === 'string' ? clean(value) : value)),
  );
}

function clean(text: string): string {
  return text.replace(/\0|\p{Surrogate}/gu, '\uFFFD');
}
