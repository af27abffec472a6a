/**
 * An app for the lock test: holds its database open, makes a backup in the way named by the first argument (`ours` or
 * the usual `recipe`), then commits 100 rows when told to, and waits to be killed.
 */
import { Database } from 'bun:sqlite';
import { copyFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';

const [way = '', path = '', backups = ''] = process.argv.slice(2);
const database = new Database(path);
database.run('PRAGMA journal_mode = WAL');
database.run('CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY)');
database.run('INSERT INTO rows DEFAULT VALUES');

if (way === 'ours') {
  const service = createServiceFromEnvironment({
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: path,
      BACKUP_LOCAL_PATH: backups,
      BACKUP_STATE_PATH: `${backups}-state.sqlite`,
    },
    write: () => {},
  });
  const result = await service.performBackup();
  if (!result.success) throw new Error(result.error?.message);
} else {
  database.query('PRAGMA wal_checkpoint(TRUNCATE)').get();
  copyFileSync(path, `${backups}.sqlite`);
}
console.log('backed up');

for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'commit') continue;
  const insert = database.query('INSERT INTO rows DEFAULT VALUES');
  for (let row = 0; row < 100; row++) insert.run();
  console.log('committed');
}
