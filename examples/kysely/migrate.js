/** Kysely's migrations, with a backup before those that are pending, a check after, and the way back at once. */
import { Migrator } from 'kysely/migration';
import { withBackup } from 'velist-backup';
import { migrations } from './migrations.js';

export async function migrateSafely(db) {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const pending = async () => (await migrator.getMigrations()).some(({ executedAt }) => executedAt === undefined);
  async function migrate() {
    const { error } = await migrator.migrateToLatest(); // it doesn't throw
    if (error) throw error;
  }
  await withBackup(migrate, { pending, restoreOnFailure: true });
}
