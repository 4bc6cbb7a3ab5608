// Opens the store: PGlite in the workspace, or the PostgreSQL that a URL names; both through the same migrations.
import { mkdirSync, statfsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PGlite } from '@electric-sql/pglite';
import { CupelError } from '../../base/errors.ts';
import { type Database, type Erase, Store } from './store.ts';

/** In the package the SQL files stay beside the sources, whether the code runs from `src` or from `dist`. */
const MIGRATIONS = fileURLToPath(new URL('../../../src/record/migrations', import.meta.url));

/** Any number that no other program is likely to lock. */
const MIGRATION_LOCK = 0x63757065;

export type StorePlace = { folder: string } | { url: string };

/**
 * Opens the store and brings its tables up to date.
 * @throws CupelError when the database cannot be reached or migrated
 */
export async function openStore(place: StorePlace): Promise<Store> {
  return 'url' in place ? openPostgres(place.url) : openPGlite(place.folder);
}

async function openPGlite(folder: string): Promise<Store> {
  const [{ PGlite }, { drizzle }, { migrate }] = await Promise.all([
    import('@electric-sql/pglite'),
    import('drizzle-orm/pglite'),
    import('drizzle-orm/pglite/migrator'),
  ]);
  mkdirSync(folder, { recursive: true });
  try {
    const client = await PGlite.create(folder);
    const db = drizzle({ client });
    await migrate(db, { migrationsFolder: MIGRATIONS });
    await client.exec('set wal_recycle = off');
    return new Store(db as unknown as Database, () => client.close(), eraser(client, folder));
  } catch (cause) {
    throw new CupelError(`the embedded database does not open: ${(cause as Error).message}`, {
      place: { file: folder },
      remedy: 'see that the disk is not full and no other process uses it; move the folder away to begin anew',
      cause,
    });
  }
}

const ROOM = 64 << 20;

/** Nothing vacuums the embedded database, and its log would keep what was removed until it is full. */
function eraser(client: PGlite, folder: string): Erase {
  return async (how) => {
    // a disk too full for a new piece of its log would end the database
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < ROOM) return;
    const vacuum = how === 'at-once' ? 'vacuum full' : 'vacuum';
    // each on its own: together they would be one transaction
    for (const statement of [`${vacuum} exchanges, feedback`, 'select pg_switch_wal()', 'checkpoint']) {
      await client.exec(statement);
    }
  };
}

async function openPostgres(url: string): Promise<Store> {
  const [{ default: pg }, { drizzle }, { migrate }] = await Promise.all([
    import('pg'),
    import('drizzle-orm/node-postgres'),
    import('drizzle-orm/node-postgres/migrator'),
  ]);
  const pool = new pg.Pool({ connectionString: url, max: 4, connectionTimeoutMillis: 10_000, query_timeout: 60_000 });
  // without a listener a connection that breaks while idle would end the process
  pool.on('error', () => {});
  try {
    const client = await pool.connect();
    try {
      // gateways that start together take turns; closing the session gives the lock back
      await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
      await migrate(drizzle({ client }), { migrationsFolder: MIGRATIONS });
    } finally {
      client.release(true);
    }
    const db = drizzle({ client: pool });
    return new Store(db as unknown as Database, () => pool.end());
  } catch (cause) {
    await pool.end();
    throw new CupelError(`PostgreSQL does not answer as it should: ${reason(cause)}`, {
      place: { field: 'DATABASE_URL' },
      remedy: 'see that the server runs and the URL names a database this user may create tables in',
      cause,
    });
  }
}

/** The driver's own words, without the statement that Drizzle wraps them in (it may hold data). */
export function reason(error: unknown): string {
  const inner = (error as { cause?: unknown }).cause ?? error;
  const { code, message } = inner as { code?: string; message?: string };
  return message || code || 'unknown error';
}
