// The recordings of a workspace for other commands: through the running gateway, or from the store itself when none runs.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import type { AdminFile } from './gateway/gateway.ts';
import { makeKey, type NewKey } from './gateway/keys.ts';
import { Recorder } from './recorder.ts';
import type { ApiKey, ExchangeFilter, Page, StoredExchange } from './store/store.ts';

/** What can be done with recordings and keys. Filters name users and tags as callers do; pseudonyms are found too. */
export interface Recordings {
  page(page: Page): Promise<StoredExchange[]>;
  /** Exchanges removed, their feedback included. */
  remove(filter: ExchangeFilter): Promise<number>;
  keys(): Promise<Omit<ApiKey, 'hash'>[]>;
  addKey(key: NewKey): Promise<{ id: string; key: string }>;
  /** False when there is no such key, or it was revoked before. */
  revokeKey(id: string): Promise<boolean>;
  close(): Promise<void>;
}

const PAGE = 500;
const SETTLE_MS = 60_000;

/** @throws CupelError when the store does not open */
export async function openRecordings(place: { workspace: string; databaseUrl?: string }): Promise<Recordings> {
  const admin = runningGateway(place.workspace);
  return admin ? new OverHttp(admin) : directly(place);
}

/** Every exchange that a filter lets through, oldest first. */
export async function* allExchanges(
  recordings: Pick<Recordings, 'page'>,
  filter: ExchangeFilter,
): AsyncGenerator<StoredExchange> {
  let after: string | undefined;
  for (;;) {
    const rows = await recordings.page({ filter, after, limit: PAGE });
    yield* rows;
    if (rows.length < PAGE) return;
    after = rows[rows.length - 1].id;
  }
}

function runningGateway(workspace: string): AdminFile | undefined {
  const file = join(workspace, 'record', 'admin.json');
  if (!existsSync(file)) return undefined;
  try {
    const admin = JSON.parse(readFileSync(file, 'utf8')) as AdminFile;
    process.kill(admin.pid, 0);
    return admin.pid === process.pid ? undefined : admin;
  } catch {
    return undefined;
  }
}

async function directly(place: { workspace: string; databaseUrl?: string }): Promise<Recordings> {
  const recorder = new Recorder(place);
  try {
    // what waits in the journal belongs to the recordings
    await recorder.settled(SETTLE_MS);
  } catch (cause) {
    const { problem } = await recorder.status();
    await recorder.close();
    throw new CupelError(`the store of the recordings does not answer: ${problem ?? (cause as Error).message}`, {
      remedy: 'see that the database runs, then run the command again',
      cause,
    });
  }
  const { store } = recorder;
  return {
    page: (page) => store.page({ ...page, filter: recorder.redactLabelsIn(page.filter) }),
    remove: (filter) => store.remove(recorder.redactLabelsIn(filter)),
    keys: async () => (await store.keys()).map(({ hash: _, ...key }) => key),
    async addKey(key) {
      const { row, secret } = makeKey(key);
      await store.addKey(row);
      return { id: row.id, key: secret };
    },
    revokeKey: (id) => store.revokeKey(id, new Date().toISOString()),
    close: () => recorder.close(),
  };
}

/** The same over the administrator's port. */
class OverHttp implements Recordings {
  #admin: AdminFile;

  constructor(admin: AdminFile) {
    this.#admin = admin;
  }

  async page({ filter, after, limit }: Page): Promise<StoredExchange[]> {
    const query = queryOf(filter);
    if (after) query.set('after', after);
    query.set('limit', String(limit));
    return ((await this.#ask('GET', `exchanges?${query}`)) as { data: StoredExchange[] }).data;
  }

  async remove(filter: ExchangeFilter): Promise<number> {
    return ((await this.#ask('DELETE', `exchanges?${queryOf(filter)}`)) as { removed: number }).removed;
  }

  async keys(): Promise<Omit<ApiKey, 'hash'>[]> {
    return ((await this.#ask('GET', 'keys')) as { data: Omit<ApiKey, 'hash'>[] }).data;
  }

  async addKey({ name, requestsPerMinute, usdPerDay }: NewKey): Promise<{ id: string; key: string }> {
    const body = { name, requests_per_minute: requestsPerMinute, usd_per_day: usdPerDay };
    return (await this.#ask('POST', 'keys', body)) as { id: string; key: string };
  }

  async revokeKey(id: string): Promise<boolean> {
    return (await this.#ask('DELETE', `keys/${encodeURIComponent(id)}`, undefined, 404)) !== undefined;
  }

  async close(): Promise<void> {}

  /** The JSON of an answer; undefined for the status `absent`. @throws CupelError with the gateway's own words */
  async #ask(method: string, path: string, body?: unknown, absent?: number): Promise<unknown> {
    const answer = await fetch(`${this.#admin.url}/admin/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#admin.token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (answer.status === absent) return undefined;
    const json = (await answer.json()) as { error?: { message: string } };
    if (answer.ok) return json;
    throw new CupelError(`the gateway refused: ${json.error?.message ?? answer.status}`, {
      place: { field: `${method} ${path.split('?')[0]}` },
      remedy: 'see the log of the gateway',
    });
  }
}

function queryOf({ tags = {}, complete, ...rest }: ExchangeFilter): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) query.set(name, value);
  for (const [name, value] of Object.entries(tags)) query.append('tag', `${name}=${value}`);
  if (complete) query.set('complete', 'true');
  return query;
}
