// The store of recorded exchanges: one set of queries over PGlite and PostgreSQL.
import { and, asc, eq, gte, inArray, isNull, lt, type SQL, sql, sum } from 'drizzle-orm';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import type { Feedback } from '../exchange.ts';
import { apiKeys, exchanges, feedback } from './schema.ts';

export type Database = PgDatabase<PgQueryResultHKT>;
export type ApiKey = typeof apiKeys.$inferSelect;
export type StoredExchange = typeof exchanges.$inferSelect & { feedback: Feedback[] };

/** Which exchanges: all conditions must hold. */
export interface ExchangeFilter {
  /** ISO 8601; `since` is included, `until` is not. */
  since?: string;
  until?: string;
  model?: string;
  user?: string;
  /** Every one of these tags. */
  tags?: Record<string, string>;
  /** Only whole, successful answers. */
  complete?: boolean;
}

export interface Page {
  filter: ExchangeFilter;
  /** Exchanges after this id. */
  after?: string;
  limit: number;
}

/**
 * Takes removed rows off the disk, where no server looks after that: `at-once` leaves nothing of them in any file, `with-time`
 * leaves what the next rows are written over.
 */
export type Erase = (how: 'at-once' | 'with-time') => Promise<void>;

export class Store {
  #db: Database;
  #close: () => Promise<void>;
  #erase: Erase;

  constructor(db: Database, close: () => Promise<void>, erase: Erase = async () => {}) {
    this.#db = db;
    this.#close = close;
    this.#erase = erase;
  }

  /** Adds rows given as JSON texts; rows whose id is there already are left as they are. All or none. */
  async addExchanges(rows: readonly string[]): Promise<void> {
    await this.#db.execute(
      sql`insert into exchanges select * from json_populate_recordset(null::exchanges, ${`[${rows.join(',')}]`}::json) on conflict (id) do nothing`,
    );
  }

  async addFeedback(rows: readonly string[]): Promise<void> {
    await this.#db.execute(
      sql`insert into feedback select * from json_populate_recordset(null::feedback, ${`[${rows.join(',')}]`}::json) on conflict (id) do nothing`,
    );
  }

  /** Exchanges in the order of their ids (time), each with its feedback. */
  async page({ filter, after, limit }: Page): Promise<StoredExchange[]> {
    const conditions = [...conditionsOf(filter), ...(after ? [sql`${exchanges.id} > ${after}`] : [])];
    const rows = await this.#db
      .select()
      .from(exchanges)
      .where(and(...conditions))
      .orderBy(asc(exchanges.id))
      .limit(limit);
    const said = await this.#feedbackFor(rows.flatMap((row) => [row.id, row.completion_id ?? []].flat()));
    return rows.map((row) => ({
      ...row,
      at: new Date(row.at).toISOString(),
      feedback: said.filter(({ exchange_id }) => exchange_id === row.id || exchange_id === row.completion_id),
    }));
  }

  /** Removes exchanges and their feedback; at least one condition is required. Returns how many exchanges went. */
  async remove(filter: ExchangeFilter): Promise<number> {
    const removed = await this.#remove(filter);
    if (removed > 0) await this.#erased('at-once');
    return removed;
  }

  async #remove(filter: ExchangeFilter): Promise<number> {
    const conditions = conditionsOf(filter);
    if (conditions.length === 0) throw new Error('refusing to remove everything: no condition was given');
    return this.#db.transaction(async (tx) => {
      const gone = tx.$with('gone').as(
        tx
          .delete(exchanges)
          .where(and(...conditions))
          .returning({ id: exchanges.id, completion_id: exchanges.completion_id }),
      );
      const rows = await tx.with(gone).select().from(gone);
      const ids = rows.flatMap((row) => [row.id, row.completion_id ?? []].flat());
      for (let at = 0; at < ids.length; at += 1000) {
        await tx.delete(feedback).where(inArray(feedback.exchange_id, ids.slice(at, at + 1000)));
      }
      return rows.length;
    });
  }

  /** Removes what is older, feedback without its exchange too. */
  async expire(until: string): Promise<void> {
    const said = await this.#db.delete(feedback).where(lt(feedback.at, until)).returning({ id: feedback.id });
    const removed = await this.#remove({ until });
    if (said.length > 0 || removed > 0) await this.#erased('with-time');
  }

  async counts(): Promise<{ exchanges: number; feedback: number }> {
    const [a, b] = await Promise.all([this.#db.$count(exchanges), this.#db.$count(feedback)]);
    return { exchanges: a, feedback: b };
  }

  /** US dollars by key since a moment. */
  async spent(since: string): Promise<Map<string, number>> {
    const rows = await this.#db
      .select({
        key: exchanges.key_id,
        usd: sum(sql`coalesce(${exchanges.usd}, ${exchanges.assumed_usd})`).mapWith(Number),
      })
      .from(exchanges)
      .where(gte(exchanges.at, since))
      .groupBy(exchanges.key_id);
    return new Map(rows.flatMap(({ key, usd }) => (key === null ? [] : [[key, usd ?? 0] as const])));
  }

  async keys(): Promise<ApiKey[]> {
    return this.#db.select().from(apiKeys).orderBy(asc(apiKeys.id));
  }

  async addKey(key: ApiKey): Promise<void> {
    await this.#db.insert(apiKeys).values(key);
  }

  /** False when there is no such key, or it was revoked before. */
  async revokeKey(id: string, at: string): Promise<boolean> {
    const open = and(eq(apiKeys.id, id), isNull(apiKeys.revoked_at));
    const rows = await this.#db.update(apiKeys).set({ revoked_at: at }).where(open).returning({ id: apiKeys.id });
    return rows.length > 0;
  }

  close(): Promise<void> {
    return this.#close();
  }

  /** The rows are gone in any case: what fails here is made up for the next time. */
  async #erased(how: Parameters<Erase>[0]): Promise<void> {
    await this.#erase(how).catch(() => {});
  }

  async #feedbackFor(ids: string[]): Promise<Feedback[]> {
    if (ids.length === 0) return [];
    return this.#db.select().from(feedback).where(inArray(feedback.exchange_id, ids)).orderBy(asc(feedback.id));
  }
}

function conditionsOf(filter: ExchangeFilter): SQL[] {
  const { since, until, model, user, tags = {}, complete } = filter;
  const asked = Object.keys(tags).length > 0;
  return [
    since !== undefined && gte(exchanges.at, since),
    until !== undefined && lt(exchanges.at, until),
    model !== undefined && eq(exchanges.model, model),
    user !== undefined && eq(exchanges.user_id, user),
    asked && sql`${exchanges.tags} @> ${JSON.stringify(tags)}::jsonb`,
    complete === true && eq(exchanges.outcome, 'complete'),
  ].filter((condition) => condition !== false);
}
