/** Drizzle's migrations, with a backup before those that are pending and a check after. */
import type { Database } from 'bun:sqlite';
import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/bun-sqlite';
import { migrate } from 'drizzle-orm/bun-sqlite/migrator';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { withBackup } from 'velist-backup';

const folder = { migrationsFolder: fileURLToPath(new URL('migrations', import.meta.url)) };

export async function migrateSafely(database: Database): Promise<void> {
  await withBackup(() => migrate(drizzle(database), folder), { pending: () => isPending(database) });
}

/** As Drizzle decides: a migration is applied when it is younger than the last one applied. */
function isPending(database: Database): boolean {
  const known = database.query("SELECT 1 FROM sqlite_schema WHERE name = '__drizzle_migrations'").get();
  const last = known
    ? database.query<{ at: number | null }, []>('SELECT max(created_at) AS at FROM __drizzle_migrations').get()
    : null;
  return readMigrationFiles(folder).some(({ folderMillis }) => folderMillis > Number(last?.at ?? 0));
}
