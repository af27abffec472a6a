/** Databases, machines and places for tests about whose a backup is: each call opens what a command would open, and closes it. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runCli } from '../../src/cli/program.ts';
import { installationPath } from '../../src/engine/writer/installation.ts';
import { selfOf } from '../../src/engine/writer/self.ts';
import { RECORD_FILE } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { makeDatabase } from './scratch.ts';

export interface Machine {
  /** Its disk. */
  readonly root: string;
  readonly database: string;
  readonly backups: string;
  readonly env: Record<string, string>;
}

/** A machine with a database of that name on its disk. */
export function machine(
  root: string,
  { name = 'shop.sqlite', rows, env = {} }: { name?: string; rows?: number; env?: Record<string, string> } = {},
): Machine {
  mkdirSync(root, { recursive: true });
  const database = join(root, name);
  if (!existsSync(database)) makeDatabase(database, rows === undefined ? {} : { rows });
  const backups = env['BACKUP_LOCAL_PATH'] ?? join(root, 'backups');
  return {
    root,
    database,
    backups,
    env: {
      PATH: process.env['PATH'] ?? '',
      DATABASE_URL: database,
      BACKUP_LOCAL_PATH: backups,
      BACKUP_STATE_PATH: join(root, 'state', 'state.sqlite'),
      // The number alone decides what stays.
      BACKUP_KEEP_DAILY: '0',
      ...env,
    },
  };
}

export interface Typed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The document of `--json`. */
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  readonly json: any;
}

/** The command line on that machine, with `--json` where it is asked for. */
export async function type({ env }: Pick<Machine, 'env'>, argv: string): Promise<Typed> {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const code = await runCli(argv.split(' '), {
    stdout: { write: (text) => stdout.push(text) },
    stderr: { write: (text) => stderr.push(text) },
    signal: new AbortController().signal,
    createService: ({ databasePath, backupsPath }) =>
      createServiceFromEnvironment({
        ...(databasePath && { databasePath }),
        ...(backupsPath && { backupsPath }),
        env,
        write: (line, level) => void (level === 'info' || stderr.push(`${line}\n`)),
      }),
    serve: async () => {},
  });
  const said = { stdout: stdout.join(''), stderr: stderr.join('') };
  return { code, ...said, json: argv.includes('--json') ? JSON.parse(said.stdout) : null };
}

/** The service on that machine; closed by `await using`. */
export function open({ env }: Pick<Machine, 'env'>): {
  readonly service: BackupService;
  readonly lines: string[];
} & AsyncDisposable {
  const lines: string[] = [];
  const service = createServiceFromEnvironment({ env, write: (line) => lines.push(line) });
  return { service, lines, [Symbol.asyncDispose]: () => service.close() };
}

/** Makes that many backups; the names, newest first. */
export async function backUp(on: Pick<Machine, 'env'>, times = 1): Promise<string[]> {
  const names: string[] = [];
  await using opened = open(on);
  for (let time = 0; time < times; time++) {
    const { filename, error } = await opened.service.performBackup();
    if (filename === undefined) throw new Error(`${error?.code}: ${error?.message}`);
    names.unshift(filename);
  }
  return names;
}

/** Makes a folder as early versions left it: without a record, and without ids in the manifests. */
export async function makeOld({ backups }: Pick<Machine, 'backups'>, change: Partial<Manifest> = {}): Promise<void> {
  rmSync(join(backups, RECORD_FILE), { force: true });
  const catalog = new Catalog(backups);
  for (const { manifest } of await catalog.list()) {
    if (!manifest) continue;
    const { databaseId, madeBy, published, ...old } = manifest;
    writeFileSync(join(backups, `${manifest.name}.json`), JSON.stringify({ ...old, ...change }));
  }
}

export const recordOf = (folder: string): Record<string, string> =>
  JSON.parse(readFileSync(join(folder, RECORD_FILE), 'utf8'));

/** All files below, with their size and time of change: whatever was written there shows. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries.map((entry) => join(entry.parentPath, entry.name)).sort();
}

/** Notes in the installation's file which database it is: who writes at its places is asked then, and not whose they are. */
export function knowDatabase(
  databaseId: string,
  { statePath, databasePath }: { readonly statePath: string; readonly databasePath: string },
): void {
  const path = installationPath(statePath);
  mkdirSync(dirname(path), { recursive: true });
  const format = 'velist-backup-installation/1';
  const created = { format, id: randomUUID(), createdAt: new Date().toISOString(), places: {}, taking: {} };
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : created;
  const databases = { ...before.databases, [selfOf(databasePath).pathDigest]: databaseId };
  writeFileSync(path, JSON.stringify({ ...before, databases }));
}
