/**
 * What an older version left, opened by today's: in a folder of the test's own, at a moment soon after the last backup
 * there. Each command opens and closes the service, as cron does.
 */
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { runCli } from '../../src/cli/commands.ts';
import { loadEnvironment } from '../../src/config/env.ts';
import { isBackupName } from '../../src/engine/catalog/artifact.ts';
import type { Manifest } from '../../src/engine/catalog/manifest.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { createService } from '../../src/service/from-environment.ts';
import type { BackupItem, PruneResult } from '../../src/service/model.ts';
import { JobsHere } from '../support/jobs-here.ts';
import type { MovedClock } from '../support/moved-clock.ts';
import type { S3Server } from '../support/s3-server.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { BUCKET, copyScene, type Scene } from './fixtures.ts';

/** All scenes end by then: 14:00 of the fourth of March 2026. */
export const AFTER = new Date('2026-03-04T14:00:00.000Z');

export interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface OpenScene {
  readonly folder: string;
  readonly database: string;
  readonly backups: string;
  readonly log: readonly string[];
  /** `argv` as one types it. */
  cli(argv: string): Promise<Told>;
  /** As `cli`, with `--json`; fails the test unless it exits with that code. */
  json<Answer>(argv: string, code?: number): Promise<Answer>;
  with<T>(work: (service: BackupService) => T | Promise<T>): Promise<T>;
  /** A row more and a backup, a quarter of an hour later; answers its name. */
  backUp(text?: string): Promise<string>;
  /** Names in the folder, oldest first. */
  here(): readonly string[];
  manifest(name: string): Manifest;
  /** What stands last in the table of that file. */
  last(path: string): unknown;
}

export interface SceneOptions {
  readonly clock: MovedClock;
  readonly folder: string;
  /** Relative to the folder. */
  readonly file?: string;
  /** Where backups and run history lie, relative to the folder. */
  readonly storage?: string;
  readonly table?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export function openScene({
  clock,
  folder,
  file = 'dev.sqlite',
  storage = 'storage',
  table = 'orders',
  env = {},
}: SceneOptions): OpenScene {
  const database = join(folder, file);
  const backups = join(folder, storage, 'backups');
  const log: string[] = [];
  // The operating system's own clock stands elsewhere.
  const settle = () => {
    for (const path of [database, `${database}-wal`]) if (existsSync(path)) utimesSync(path, new Date(), new Date());
  };
  settle();
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
    return createService(loadEnvironment(variables), { write }, { turns: new JobsHere({ now: () => new Date() }) });
  };
  const scene: OpenScene = {
    ...{ folder, database, backups, log },
    async cli(argv) {
      let [stdout, stderr] = ['', ''];
      const code = await runCli(argv.split(' '), {
        stdout: { write: (text) => (stdout += text) },
        stderr: { write: (text) => (stderr += text) },
        signal: new AbortController().signal,
        createService: open,
        serve: async () => {},
      });
      return { code, stdout, stderr };
    },
    async json<Answer>(argv: string, wanted = 0) {
      const { code, stdout, stderr } = await scene.cli(`${argv} --json`);
      if (code !== wanted) throw new Error(`${argv} exits with ${code}, not ${wanted}: ${stderr || stdout}`);
      return JSON.parse(stdout) as Answer;
    },
    async with(work) {
      const service = open();
      try {
        return await work(service);
      } finally {
        await service.close();
      }
    },
    async backUp(text = 'by the new version') {
      clock.advance(15 * 60_000);
      const connection = new DatabaseSync(database);
      connection.prepare(`INSERT INTO ${table} (text) VALUES (?)`).run(text);
      connection.close();
      settle();
      return (await scene.json<{ filename: string }>('backup')).filename;
    },
    here: () => readdirSync(backups).filter(isBackupName).sort(),
    manifest: (name) => JSON.parse(readFileSync(join(backups, `${name}.json`), 'utf8')) as Manifest,
    last(path) {
      const connection = new DatabaseSync(path, { readOnly: true });
      try {
        return connection.prepare(`SELECT text FROM ${table} ORDER BY id DESC LIMIT 1`).get()?.['text'];
      } finally {
        connection.close();
      }
    },
  };
  return scene;
}

export function copyOf(scene: Scene, folder: string): string {
  copyScene(scene, folder);
  return folder;
}

export const bucketVariables = (server: S3Server, prefix: string) => ({
  ...s3Variables(server, { bucket: BUCKET, prefix }),
  BACKUP_S3_ENABLED: 'true',
});

/** Backups of this database, newest first, and the names of the others with whose they are. */
export async function listed(scene: OpenScene, argv = 'list') {
  const { backups } = await scene.json<{ backups: readonly BackupItem[] }>(argv);
  return {
    ours: backups.filter(({ other }) => other === null).map(({ filename }) => filename),
    others: backups.flatMap(({ filename, other }) => (other === null ? [] : [[filename, other.name] as const])),
  };
}

export const prunePlan = (scene: OpenScene, argv = '') => scene.json<PruneResult>(`prune --dry-run${argv}`);
