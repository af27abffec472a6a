/** Real folders, databases and neighbours for tests. A test file calls `scratchFolders` once, at its top. */
import { afterAll } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { nameBackup } from '../../src/engine/format/names.ts';
import { BackupError } from '../../src/words/errors.ts';
import { BackupService, type BackupServiceOptions } from '../../src/service/backup-service.ts';
import type { Run, Settings } from '../../src/service/model.ts';
import { MANIFEST_FORMAT, type Manifest } from '../../src/engine/format/manifest.ts';
import { settingsWith } from './settings.ts';

/** Makes a new empty folder at each call; all are removed when the file's tests have ended. */
export function scratchFolders(): () => string {
  const root = mkdtempSync(join(tmpdir(), 'velist-backup-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  return () => mkdtempSync(join(root, 'test-'));
}

export interface DatabaseForm {
  readonly rows?: number;
  readonly journalMode?: 'wal' | 'delete';
  readonly pageSize?: number;
}

/** A database with a table `notes`, closed again. */
export function makeDatabase(
  path: string,
  { rows = 100, journalMode = 'wal', pageSize = 4096 }: DatabaseForm = {},
): void {
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = ${journalMode}; PRAGMA synchronous = OFF;
    CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE INDEX notes_by_text ON notes (text);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
      INSERT INTO notes SELECT i, 'note ' || i || ' ' || hex(randomblob(20)) FROM n;
  `);
  database.close();
}

/** Makes the last write look an hour old, so that a stamp of it proves something. By path and time alone. */
export function settle(databasePath: string): void {
  const anHourAgo = new Date(Date.now() - 3_600_000);
  utimesSync(databasePath, anHourAgo, anHourAgo);
}

/**
 * Gives a file another time than the one at which it was written. It is no round one: a round time that is near enough is
 * taken for the same one, as a coarser clock keeps it.
 */
export function touch(path: string): void {
  const at = new Date(Math.floor(Date.now() / 1_000) * 1_000 - 3_600_000 + 1);
  utimesSync(path, at, at);
}

/** One value of a database that no other connection of this process has open. It waits for a writer of another process. */
export function ask(path: string, sql: string): unknown {
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA busy_timeout = 20000');
    return Object.values(database.prepare(sql).get() ?? {})[0];
  } finally {
    database.close();
  }
}

/** Runs statements on a connection of its own, as `ask` does. */
export function change(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = 20000; ${sql}`);
  } finally {
    database.close();
  }
}

export interface Neighbour {
  readonly process: ChildProcess;
  /** Runs one statement and answers its first value. */
  ask(sql: string): Promise<unknown>;
  /** Closes the connection and ends the process. */
  close(): Promise<void>;
  kill(): Promise<void>;
}

const neighbourProgram = `
  import { DatabaseSync } from 'node:sqlite';
  import { createInterface } from 'node:readline';
  const database = new DatabaseSync(process.argv[1]);
  database.exec('PRAGMA busy_timeout = 10000');
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const row = database.prepare(JSON.parse(line)).get();
      console.log(JSON.stringify({ value: row ? Object.values(row)[0] : null }));
    } catch (error) {
      console.log(JSON.stringify({ error: error.message }));
    }
  }
  database.close();
`;

/** Another process that holds one connection to the database open. */
export async function openElsewhere(path: string): Promise<Neighbour> {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', '-e', neighbourProgram, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const neighbour: Neighbour = {
    process: child,
    async ask(sql) {
      child.stdin.write(`${JSON.stringify(sql)}\n`);
      const { value: line } = await answers.next();
      const answer: { value?: unknown; error?: string } = JSON.parse(String(line));
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.value;
    },
    async close() {
      child.stdin.end();
      await exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
  // The first read opens the file.
  await neighbour.ask('SELECT count(*) FROM sqlite_schema');
  return neighbour;
}

/** A manifest as our own run writes it, for a file of that many bytes. */
export function manifestOf(at: Date, change: Partial<Manifest> & { readonly sizeBytes?: number } = {}): Manifest {
  const { sizeBytes = 8192, ...rest } = change;
  const sha256 = '0'.repeat(64);
  const name = nameBackup(at);
  return {
    format: MANIFEST_FORMAT,
    name,
    sequence: 1,
    createdAt: at.toISOString(),
    source: { name: 'shop.sqlite', journalMode: 'wal' },
    database: { sizeBytes, pageSize: 4096, pages: sizeBytes / 4096, sha256 },
    artifact: { file: name, sizeBytes, sha256, compression: 'none', encryption: 'none' },
    verification: { method: 'quick', at: at.toISOString(), complaint: null },
    trigger: 'schedule',
    user: null,
    pinned: false,
    note: null,
    copy: { method: 'pinned-copy', checkpoint: null },
    stamp: null,
    versions: { velistBackup: '0.0.0', sqlite: '3.54.1', runtime: 'bun 1.4.5' },
    ...rest,
  };
}

/** The error that a story refuses with; fails the test when it does not refuse. */
export async function refusal(story: () => unknown): Promise<BackupError> {
  try {
    await story();
  } catch (error) {
    if (error instanceof BackupError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

export interface Shop {
  readonly service: BackupService;
  readonly databasePath: string;
  readonly backups: string;
  readonly log: readonly string[];
  /** Another service over the same files, as after a restart. */
  again(change?: Partial<BackupServiceOptions>): BackupService;
  /** Resolves with the first ended run, past or to come, that fits. */
  ended(fits: (run: Run) => boolean): Promise<Run>;
  /** Resolves once the log has a line that starts so. */
  logged(start: string): Promise<void>;
}

/** A service over a database of its own; closed by `await using`. */
export function openShop(
  folder: string,
  change: Omit<Partial<BackupServiceOptions>, 'settings'> & {
    readonly settings?: Partial<Settings>;
    readonly form?: DatabaseForm | null;
  } = {},
): Shop & AsyncDisposable {
  const { settings, form, ...options } = change;
  const databasePath = options.databasePath ?? join(folder, 'shop.sqlite');
  const backups = options.backupsPath ?? join(folder, 'backups');
  if (form !== null) makeDatabase(databasePath, form);
  const log: string[] = [];
  const runs: Run[] = [];
  const waiting = new Set<(run: Run) => void>();
  const listening = new Set<() => void>();
  const opened: BackupService[] = [];
  const again = (more: Partial<BackupServiceOptions> = {}) => {
    const service = new BackupService({
      databasePath,
      backupsPath: backups,
      statePath: join(folder, 'state.sqlite'),
      settings: settingsWith(settings),
      log: (level, message) => {
        log.push(`${level}: ${message}`);
        for (const hear of listening) hear();
      },
      jobEnvironment: { PATH: process.env['PATH'] ?? '' },
      ...options,
      ...more,
    });
    service.on((event) => {
      if (event.type !== 'run') return;
      runs.push(event.run);
      for (const hear of waiting) hear(event.run);
    });
    opened.push(service);
    return service;
  };
  return {
    service: again(),
    databasePath,
    backups,
    log,
    again,
    async ended(fits) {
      const { promise, resolve } = Promise.withResolvers<Run>();
      const hear = (run: Run) => {
        if (fits(run)) resolve(run);
      };
      waiting.add(hear);
      for (const run of runs) hear(run);
      const run = await promise;
      waiting.delete(hear);
      // A turn of the event loop that no fake timer holds back: the service itself hears of the end too.
      await stat(folder);
      return run;
    },
    async logged(start) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const hear = () => {
        if (log.some((line) => line.startsWith(start))) resolve();
      };
      listening.add(hear);
      hear();
      await promise;
      listening.delete(hear);
    },
    async [Symbol.asyncDispose]() {
      for (const service of opened) await service.close();
    },
  };
}
