import { Database } from 'bun:sqlite';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

// The same variable and the same default as the backups have.
const path = process.env['DATABASE_URL'] ?? './db/dev.sqlite';
mkdirSync(dirname(path), { recursive: true });

export const database = new Database(path, { create: true, strict: true });
database.run('PRAGMA journal_mode = WAL');
database.run('PRAGMA busy_timeout = 5000');
