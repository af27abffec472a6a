/**
 * An app with its folder, database and backups, and the commands that cron types there: each opens the service as the
 * environment describes it and closes it again. All in this process, jobs too, at the moment of a moved clock.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { runCli } from '../../src/cli/program.ts';
import { loadEnvironment } from '../../src/config/env.ts';
import { isBackupName } from '../../src/engine/format/names.ts';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { createService } from '../../src/service/from-environment.ts';
import type { BackupItem, PruneResult } from '../../src/service/model.ts';
import { jobsHere, type JobsHereOptions } from './jobs-here.ts';
import type { MovedClock } from './moved-clock.ts';

export interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AppHere {
  readonly folder: string;
  readonly database: string;
  readonly backups: string;
  readonly table: string;
  /** Of all services that were opened. */
  readonly log: readonly string[];
  /** `argv` as one types it. */
  cli(argv: string): Promise<Told>;
  /** As `cli`, with `--json`; throws unless it exits with that code. */
  json<Answer>(argv: string, code?: number): Promise<Answer>;
  with<T>(work: (service: BackupService) => T | Promise<T>): Promise<T>;
  /** Closed by whoever opens it. */
  open(): BackupService;
  sql(statements: string): void;
  /** The database and what SQLite keeps beside it. */
  lose(): void;
  /** A row more and a backup, a quarter of an hour later; answers its name. */
  backUp(text?: string): Promise<string>;
  /** Names in the folder, oldest first. */
  here(): readonly string[];
  manifest(name: string): Manifest;
  /** What stands last in the table of that file. */
  last(path?: string): unknown;
}

export interface AppHereOptions {
  readonly clock: MovedClock;
  readonly folder: string;
  /** Relative to the folder. */
  readonly file?: string;
  /** Where backups and run history lie, relative to the folder. */
  readonly storage?: string;
  readonly table?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** How far the clock of this machine is off. */
  readonly skewMs?: () => number;
  /** False: the database is not made. */
  readonly isNew?: boolean;
  readonly instead?: JobsHereOptions['instead'];
}

/** The database is made where there is none, with an empty table, unless told. */
export function openApp(options: AppHereOptions): AppHere {
  const {
    clock,
    folder,
    file = 'dev.sqlite',
    storage = 'storage',
    table = 'orders',
    env = {},
    skewMs,
    isNew = true,
  } = options;
  const database = join(folder, file);
  const backups = join(folder, storage, 'backups');
  const log: string[] = [];
  const now = () => new Date(Date.now() + (skewMs?.() ?? 0));
  // The operating system's own clock stands elsewhere.
  const settle = () => {
    for (const path of [database, `${database}-wal`]) if (existsSync(path)) utimesSync(path, now(), now());
  };
  const sql = (statements: string) => {
    const connection = new DatabaseSync(database);
    connection.exec(statements);
    connection.close();
    settle();
  };
  mkdirSync(dirname(database), { recursive: true });
  if (existsSync(database)) settle();
  else if (isNew) {
    sql('PRAGMA page_size = 512; PRAGMA journal_mode = WAL');
    sql(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, text TEXT)`);
  }
  const open = () => {
    const variables = {
      PATH: process.env['PATH'],
      DATABASE_URL: database,
      BACKUP_LOCAL_PATH: backups,
      BACKUP_STATE_PATH: join(folder, storage, 'velist-backup.sqlite'),
      BACKUP_ENABLED: 'false',
      ...env,
    };
    const write = (line: string) => void log.push(line);
    return createService(
      loadEnvironment(variables),
      { write },
      { now, runJob: jobsHere({ now, instead: options.instead }) },
    );
  };
  const app: AppHere = {
    ...{ folder, database, backups, table, log, open, sql },
    lose() {
      for (const suffix of ['', '-wal', '-shm']) rmSync(database + suffix, { force: true });
    },
    async cli(argv) {
      let [stdout, stderr] = ['', ''];
      const code = await runCli(argv.split(' '), {
        stdout: { write: (text) => (stdout += text) },
        stderr: { write: (text) => (stderr += text) },
        signal: new AbortController().signal,
        createService: open,
        serve: async () => {},
        now,
      });
      return { code, stdout, stderr };
    },
    async json<Answer>(argv: string, wanted = 0) {
      const { code, stdout, stderr } = await app.cli(`${argv} --json`);
      if (code === wanted) return JSON.parse(stdout) as Answer;
      throw new Error(`${argv} exits with ${code}, not ${wanted}: ${stderr || stdout}\n${log.slice(-5).join('\n')}`);
    },
    async with(work) {
      const service = open();
      try {
        return await work(service);
      } finally {
        await service.close();
      }
    },
    async backUp(text = 'one more') {
      clock.advance(15 * 60_000);
      sql(`INSERT INTO ${table} (text) VALUES ('${text}')`);
      return (await app.json<{ filename: string }>('backup')).filename;
    },
    here: () => (existsSync(backups) ? readdirSync(backups).filter(isBackupName).sort() : []),
    manifest: (name) => JSON.parse(readFileSync(join(backups, `${name}.json`), 'utf8')) as Manifest,
    last(path = database) {
      const connection = new DatabaseSync(path, { readOnly: true });
      try {
        return connection.prepare(`SELECT text FROM ${table} ORDER BY id DESC LIMIT 1`).get()?.['text'];
      } finally {
        connection.close();
      }
    },
  };
  return app;
}

/** Backups of this database, newest first, and the names of the others with whose they are. */
export async function listed(app: AppHere, argv = 'list') {
  const { backups } = await app.json<{ backups: readonly BackupItem[] }>(argv);
  return {
    ours: backups.filter(({ other }) => other === null).map(({ filename }) => filename),
    others: backups.flatMap(({ filename, other }) => (other === null ? [] : [[filename, other.name] as const])),
  };
}

export const prunePlan = (app: AppHere, argv = '') => app.json<PruneResult>(`prune --dry-run${argv}`);
