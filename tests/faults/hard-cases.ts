/**
 * The hard cases: what a backup meets when the machine, the database or the neighbours misbehave. Each case provokes one
 * fault through a real service and its real job process, and `checkHardCase` looks at what all of them must hold: the
 * right code with a message and a hint, backups made before as they were to the byte, and after the mend a good run that
 * loses nothing and leaves nothing behind.
 *
 * The same cases run as tests (`hard-cases.test.ts`) and as a table (`bun tests/faults/hard-cases-table.ts`), so the
 * table shows what was said, not what was meant. Assertions are Node's, which work in both.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isBackupName, STAGING_FOLDER } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { BackupError, type ErrorBody, type ErrorCode } from '../../src/words/errors.ts';
import { BackupService, type BackupServiceOptions } from '../../src/service/backup-service.ts';
import type { BackupResult, VerdictCode } from '../../src/service/model.ts';
import { type DatabaseForm, makeDatabase } from '../support/scratch.ts';
import { settingsWith } from '../support/settings.ts';

export interface HardCase {
  /** A sentence. */
  readonly name: string;
  /** What the provoked run fails with; null where a backup is made all the same. */
  readonly code: ErrorCode | null;
  readonly message?: RegExp;
  readonly hint?: RegExp;
  /** A warning in the log while it was provoked. */
  readonly says?: RegExp;
  /** `refused`: a person asked, and nothing was begun; otherwise it failed. */
  readonly result?: 'refused';
  /** The verdict on the page right after the fault; `protected` where the backup is made. */
  readonly verdict?: VerdictCode;
  /** Null makes no database. */
  readonly form?: DatabaseForm | null;
  /** False: the fault is there from the start, so there is no earlier backup. */
  readonly backedUpBefore?: boolean;
  /** Before the service is made. Relative to the scene's folder. */
  place?(scene: Scene): Places;
  /** Provokes the fault, tells `scene.mend` how it is undone, and runs into it. */
  provoke(scene: Scene): Promise<BackupResult>;
}

export interface Places {
  readonly databasePath?: string;
  readonly backupsPath?: string;
  readonly statePath?: string;
}

export interface Finding {
  readonly error: ErrorBody | null;
  /** The warning that the case is about. */
  readonly warning: string | null;
  readonly verdict: VerdictCode;
  /** What is left, in words. */
  readonly remains: string;
}

/** Long enough for a machine under load, short enough for a test. */
export const WAIT_MS = 1_500;

/** One folder, database and service; undone in reverse order, whatever happened. */
export class Scene {
  readonly folder: string;
  readonly log: string[] = [];
  databasePath: string;
  backups: string;
  statePath: string;
  #service: BackupService | undefined;
  readonly #services: BackupService[] = [];
  readonly #mends: (() => unknown)[] = [];
  readonly #endings: (() => unknown)[] = [];

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'velist-hard-case-'));
    // Another user must be able to reach what is inside.
    chmodSync(this.folder, 0o755);
    this.databasePath = join(this.folder, 'shop.sqlite');
    this.backups = join(this.folder, 'backups');
    this.statePath = join(this.folder, 'state.sqlite');
  }

  get service(): BackupService {
    this.#service ??= this.openService();
    return this.#service;
  }

  openService(change: Partial<BackupServiceOptions> = {}): BackupService {
    const service = new BackupService({
      databasePath: this.databasePath,
      backupsPath: this.backups,
      statePath: this.statePath,
      settings: settingsWith(),
      log: (level, message) => this.log.push(`${level}: ${message}`),
      jobEnvironment: { PATH: process.env['PATH'] ?? '' },
      waits: { lockMs: 30_000, pinMs: WAIT_MS },
      ...change,
    });
    this.#services.push(service);
    return service;
  }

  /** From now on the database is there. */
  moveTo(databasePath: string): void {
    this.databasePath = databasePath;
    this.#service = undefined;
  }

  /** Undoes the fault, before the good run at the end. */
  mend(undo: () => unknown): void {
    this.#mends.push(undo);
  }

  /** When the case is over. */
  atEnd(undo: () => unknown): void {
    this.#endings.push(undo);
  }

  async mendAll(): Promise<void> {
    for (let undo = this.#mends.pop(); undo; undo = this.#mends.pop()) await undo();
  }

  async close(): Promise<void> {
    try {
      await this.mendAll();
    } finally {
      for (const service of this.#services) await service.close();
      for (let undo = this.#endings.pop(); undo; undo = this.#endings.pop()) await undo();
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** A small disk of its own: fills up without harm to anyone. */
  mountDisk(name: string, sizeBytes: number): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    must('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes},mode=0755`, 'tmpfs', path]);
    this.atEnd(() => must('umount', ['--lazy', path]));
    return path;
  }

  /** Makes a folder read-only even for root, who ignores file modes. */
  makeReadOnly(path: string): void {
    must('mount', ['--bind', path, path]);
    this.mend(() => must('umount', ['--lazy', path]));
    must('mount', ['-o', 'remount,bind,ro', path]);
  }
}

/** Runs a program of the system that a case can not do without. */
export function must(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(
    `this case needs \`${program} ${args.join(' ')}\`, which is not permitted here (run it as root, with CAP_SYS_ADMIN): ${error?.message ?? stderr.trim()}`,
  );
}

/** Provokes one case and looks at everything that each of them must hold. */
export async function checkHardCase(hardCase: HardCase): Promise<Finding> {
  const scene = new Scene();
  try {
    Object.assign(scene, placesOf(scene, hardCase.place?.(scene) ?? {}));
    if (hardCase.form !== null) makeDatabase(scene.databasePath, hardCase.form);
    const before = hardCase.backedUpBefore === false ? [] : await makeFirstBackups(scene);
    const digests = digestAll(scene.backups, before);

    scene.log.length = 0;
    const result = await hardCase.provoke(scene);
    checkAnswer(hardCase, result);
    const warning = warningOf(hardCase, scene);
    const verdict = await checkVerdict(hardCase, scene);

    await scene.mendAll();
    assert.deepEqual(digestAll(scene.backups, before), digests, 'the backups made before are as they were');
    const known = await catalogOf(scene);
    if (!result.success) assert.deepEqual(known, before.toReversed(), 'the failed run left no backup');
    await checkGoodRun(scene);
    return { error: result.error ?? null, warning, verdict, remains: describeRemains(before.length, result) };
  } finally {
    await scene.close();
  }
}

function placesOf(scene: Scene, places: Places) {
  return {
    databasePath: places.databasePath ?? scene.databasePath,
    backups: places.backupsPath ?? scene.backups,
    statePath: places.statePath ?? scene.statePath,
  };
}

async function makeFirstBackups(scene: Scene): Promise<readonly string[]> {
  const names: string[] = [];
  for (const round of [1, 2]) {
    const made = await scene.service.performBackup();
    assert.ok(made.filename, `backup ${round} before the fault: ${JSON.stringify(made.error)}`);
    names.push(made.filename);
  }
  return names;
}

function checkAnswer(hardCase: HardCase, result: BackupResult): void {
  assert.equal(result.error?.code ?? null, hardCase.code, JSON.stringify(result.error));
  assert.equal(result.success, hardCase.code === null);
  if (!result.error) return;
  const { message, hint } = result.error;
  assert.match(message, hardCase.message ?? /./);
  assert.match(hint, hardCase.hint ?? /./);
  // A message in lower case that goes on in a log line; a hint that is whole sentences.
  assert.match(message, /^[^A-Z\s]|^[A-Z]{2}|^\//, 'a message begins in lower case, or with a path');
  assert.match(hint, /^[A-Z].*[.!?]$/s, 'a hint is a whole sentence');
}

function warningOf({ says }: HardCase, { log }: Scene): string | null {
  if (!says) return null;
  const said = log.find((line) => line.startsWith('warn: ') && says.test(line));
  assert.ok(said, `no warning says ${says}: ${log.join('\n')}`);
  return said.slice('warn: '.length);
}

async function checkVerdict(hardCase: HardCase, scene: Scene): Promise<VerdictCode> {
  const { verdict, lastRun } = await scene.service.getStatus();
  assert.equal(lastRun?.result, hardCase.code === null ? 'success' : (hardCase.result ?? 'failed'));
  assert.equal(lastRun?.error?.code ?? null, hardCase.code);
  assert.equal(verdict.code, hardCase.verdict ?? (hardCase.code === null ? 'protected' : 'last-failed'));
  return verdict.code;
}

/** Newest first. */
async function catalogOf(scene: Scene): Promise<readonly string[]> {
  return (await new Catalog(scene.backups).list()).map((backup) => backup.name);
}

/** Once the fault is mended: a backup that holds all, and nothing left of the run before. */
async function checkGoodRun(scene: Scene): Promise<void> {
  const made = await scene.service.performBackup();
  assert.ok(made.filename, `the run after the mend: ${JSON.stringify(made.error)}`);
  const backups = await new Catalog(scene.backups).list();
  assert.equal(backups[0]?.name, made.filename, 'the newest backup is the last one made');
  const sequences = backups.flatMap((backup) => backup.manifest?.sequence ?? []);
  assert.deepEqual(
    sequences,
    [...new Set(sequences)].sort((a, b) => b - a),
    'sequences are unique and rise',
  );
  for (const backup of backups) assert.equal(backup.fault, null);
  assert.equal(contentOf(join(scene.backups, made.filename)), contentOf(scene.databasePath), 'nothing is lost');
  assert.deepEqual(leftovers(scene), []);
  const { verdict } = await scene.service.getStatus();
  assert.ok(['protected', 'disk-low'].includes(verdict.code), `the verdict afterwards is ${verdict.code}`);
}

/** Files that no finished run may leave behind. */
function leftovers(scene: Scene): readonly string[] {
  const entries = readdirSync(scene.backups);
  const staging = join(scene.backups, STAGING_FOLDER);
  const beside = existsSync(dirname(scene.databasePath)) ? readdirSync(dirname(scene.databasePath)) : [];
  return [
    ...entries.filter((entry) => entry.endsWith('.tmp')),
    ...entries.filter((entry) => isBackupName(entry) && !entries.includes(`${entry}.json`)),
    ...entries
      .filter((entry) => entry.endsWith('.json') && isBackupName(entry.slice(0, -5)))
      .filter((entry) => !entries.includes(entry.slice(0, -5))),
    ...(existsSync(staging) ? readdirSync(staging) : []),
    ...beside.filter((entry) => entry.startsWith(basename(scene.databasePath)) && entry.includes('.restoring-')),
    ...beside.filter((entry) => entry.startsWith('.velist-restore-')),
  ];
}

/** All rows as one digest; also proves that the file is sound. */
export function contentOf(path: string): string {
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA busy_timeout = 20000');
    const check = database.prepare('PRAGMA integrity_check(1)').get();
    assert.equal(Object.values(check ?? {})[0], 'ok', path);
    const rows = database.prepare('SELECT id, text FROM notes ORDER BY id').all();
    return createHash('sha256').update(JSON.stringify(rows)).digest('hex');
  } finally {
    database.close();
  }
}

function digestAll(folder: string, names: readonly string[]): Readonly<Record<string, string>> {
  const files = names.flatMap((name) => [name, `${name}.json`]);
  return Object.fromEntries(
    files.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(folder, file)))
        .digest('hex'),
    ]),
  );
}

function describeRemains(earlier: number, result: BackupResult): string {
  const old = earlier === 0 ? 'there was no earlier backup' : `${earlier} earlier backups as they were`;
  return result.success ? `a good backup; ${old}` : `${old}; no half backup; the next run is good`;
}

/** The error that a story refuses with. */
export async function refusalOf(story: () => Promise<unknown>): Promise<BackupError> {
  try {
    await story();
  } catch (error) {
    if (error instanceof BackupError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
