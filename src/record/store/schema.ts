// The tables, for PGlite and PostgreSQL alike. After a change: `npx drizzle-kit generate` writes the migration.
import { boolean, doublePrecision, index, integer, json, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core';

const moment = () => timestamp({ withTimezone: true, mode: 'string' });

/** Bodies are `json`, not `jsonb`: the order of keys reaches the model through chat templates, so it must be kept. */
export const exchanges = pgTable(
  'exchanges',
  {
    id: text().primaryKey(),
    at: moment().notNull(),
    endpoint: text().notNull(),
    model: text(),
    upstream: text(),
    attempts: integer().notNull(),
    status: integer().notNull(),
    outcome: text().$type<'complete' | 'error' | 'cancelled' | 'broken'>().notNull(),
    streamed: boolean().notNull(),
    request: json(),
    response: json(),
    completion_id: text(),
    prompt_tokens: integer(),
    cached_tokens: integer(),
    completion_tokens: integer(),
    reasoning_tokens: integer(),
    latency_ms: doublePrecision().notNull(),
    first_token_ms: doublePrecision(),
    usd: doublePrecision(),
    assumed_usd: doublePrecision(),
    key_id: text(),
    user_id: text(),
    tags: jsonb().$type<Record<string, string>>().notNull(),
    redactions: jsonb().$type<Record<string, number>>().notNull(),
  },
  (table) => [
    index('exchanges_at').on(table.at),
    index('exchanges_completion_id').on(table.completion_id),
    index('exchanges_user_id').on(table.user_id),
    index('exchanges_tags').using('gin', table.tags.op('jsonb_path_ops')),
  ],
);

export const feedback = pgTable(
  'feedback',
  {
    id: text().primaryKey(),
    /** An exchange's id or completion id; no foreign key, because feedback may be taken over first. */
    exchange_id: text().notNull(),
    at: moment().notNull(),
    score: doublePrecision(),
    corrected: json(),
    comment: text(),
    key_id: text(),
  },
  (table) => [index('feedback_exchange_id').on(table.exchange_id)],
);

/** The gateway's own API keys. The key itself is not stored. */
export const apiKeys = pgTable('api_keys', {
  id: text().primaryKey(),
  name: text().notNull(),
  /** SHA-256 of the key, which is 256 random bits: there is nothing to guess, so nothing to slow down. */
  hash: text().notNull().unique(),
  /** The first characters, to tell keys apart. */
  hint: text().notNull(),
  created_at: moment().notNull(),
  revoked_at: moment(),
  requests_per_minute: integer(),
  usd_per_day: doublePrecision(),
});
