/**
 * A database with three backups and an undo, as each operation finds it; it is put back as it was before each fault.
 *
 * The app is this process: it holds its connection where the operation is one beside a running app, commits while the job
 * runs, and notes what was acknowledged. Where the app is down, a database in WAL mode has the log of one that died.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Backup, Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import type { JobRequest } from '../../src/engine/process/protocol.ts';
import { startJob } from '../support/torture-jobs.ts';
import { makeLedger, readLog } from '../support/torture-ledger.ts';

export const operations = ['backup', 'publish', 'prune', 'file', 'online', 'in-place', 'undo', 'first-boot'] as const;
export type Operation = (typeof operations)[number];
export type JournalMode = 'wal' | 'delete';

/** Operations beside an app that has the database open. */
const besideApp: ReadonlySet<Operation> = new Set(['backup', 'publish', 'online', 'undo']);
/** Operations that put a backup where the database is. */
export const replacing: ReadonlySet<Operation> = new Set(['online', 'in-place', 'undo']);
export const BACKUPS = 3;
const KEPT_BY_PRUNE = 1;
const LOCK_WAIT_MS = 3_000;
const SIZE_BYTES = 48 * 1024;
const FILLER_ROWS = 15;
/** Above all numbers of commits that were made with the scene. */
const NUMBERS_OF_MAKING = 100;

export class Scene {
  readonly folder: string;
  readonly database: string;
  readonly backups: string;
  readonly newFile: string;
  readonly operation: Operation;
  readonly journalMode: JournalMode;
  /** The app's connection, where it is up. */
  #app: DatabaseSync | null = null;
  #commits = 0;
  /** Backups before the fault, newest first. */
  earlier: readonly Backup[] = [];
  /** What an earlier restore replaced. */
  safety: Backup | undefined;
  /** What a restore brings back. */
  source: Backup | undefined;
  sourceLog: readonly string[] = [];
  /** All that was acknowledged, in its order. */
  acknowledged: string[] = [];
  /** What the app met while the job was running. */
  complaint: string | null = null;

  constructor(folder: string, operation: Operation, journalMode: JournalMode) {
    this.folder = join(folder, 'scene');
    this.database = join(this.folder, 'app', 'ledger.sqlite');
    this.backups = join(this.folder, 'backups');
    this.newFile = join(this.folder, 'restored', 'copy.sqlite');
    this.operation = operation;
    this.journalMode = journalMode;
  }

  /** Where it is kept as it is begun with: for every operation, beside a running app or without it. */
  get #kept(): string {
    return `${this.folder}-${this.journalMode}-${besideApp.has(this.operation) ? 'closed' : 'crashed'}`;
  }

  /** Another operation may have made it. */
  async make(): Promise<void> {
    if (existsSync(this.#kept)) return;
    rmSync(this.folder, { recursive: true, force: true });
    for (const name of ['app', 'restored']) mkdirSync(join(this.folder, name), { recursive: true });
    const form = { sizeBytes: SIZE_BYTES, pageSize: 4096, autoVacuum: 'none', writers: 1 } as const;
    makeLedger(this.database, { ...form, journalMode: this.journalMode });
    this.#open();
    for (let made = 0; made < BACKUPS; made++) {
      this.commit();
      await this.#mustSucceed(this.backupRequest());
    }
    this.commit();
    await this.#mustSucceed(this.#restoreRequest('online', (await new Catalog(this.backups).list()).at(-1)));
    this.commit();
    // Copied while the app has it open, it is what a crash leaves.
    copy(this.folder, `${this.folder}-${this.journalMode}-crashed`);
    this.#close();
    copy(this.folder, `${this.folder}-${this.journalMode}-closed`);
  }

  /** Puts all back, and starts the app where the operation has one beside it. */
  async begin(): Promise<void> {
    this.#close();
    rmSync(this.folder, { recursive: true, force: true });
    copy(this.#kept, this.folder);
    if (this.operation === 'first-boot') rmSync(dirname(this.database), { recursive: true });
    this.complaint = null;
    const listed = await new Catalog(this.backups).list();
    this.safety = listed.find(({ manifest }) => manifest?.trigger === 'safety');
    this.earlier = listed.filter((backup) => backup !== this.safety);
    this.source = this.operation === 'undo' ? this.safety : this.earlier.at(this.operation === 'first-boot' ? 0 : -1);
    this.sourceLog = this.source ? readLog(this.source.path, { unwritten: true }) : [];
    this.acknowledged = existsSync(this.database) ? [...readLog(this.database, { unwritten: false })] : [];
    this.#commits ||= NUMBERS_OF_MAKING;
    if (!besideApp.has(this.operation)) return;
    this.#open();
    this.commit();
  }

  /** The app opens the database again, or for the first time; its first use rolls back what was half done. */
  openApp({ settle = false } = {}): void {
    if (this.#app === null) this.#open();
    if (settle) this.#app?.prepare('SELECT count(*) FROM sqlite_schema').get();
  }

  end(): void {
    this.#close();
  }

  /**
   * What the job says when the app commits once more: a backup has pinned the database, a restore has its safety backup
   * and has replaced nothing yet. It waits meanwhile, so that each run has the same calls.
   */
  get pauseAfter(): string | null {
    if (!besideApp.has(this.operation)) return null;
    return replacing.has(this.operation) ? '"name":"place"' : '"type":"pinned"';
  }

  /** Where a pin keeps writers out, in a rollback mode, nothing is acknowledged. */
  commitMeanwhile(): void {
    if (this.#app === null) return;
    try {
      this.#app.exec('PRAGMA busy_timeout = 0');
      this.commit();
    } catch (error) {
      if (!/locked|busy/i.test(String(error))) this.complaint = `the app met ${String(error)}`;
      if (this.#app.isTransaction) this.#app.exec('ROLLBACK');
    } finally {
      this.#app.exec('PRAGMA busy_timeout = 5000');
    }
  }

  commit(): void {
    const app = this.#app;
    if (app === null) throw new Error('the app is not up');
    app.exec('BEGIN IMMEDIATE');
    const n = this.#commits + 1;
    const t = Number(app.prepare('SELECT t + 1 AS t FROM clock').get()?.['t']);
    app.prepare('INSERT INTO log VALUES (0, ?, ?)').run(n, t);
    const id = (n % FILLER_ROWS) + 1;
    app.prepare('UPDATE stock SET times = times - (SELECT t FROM filler WHERE id = ?) + ?').run(id, t);
    app.prepare('UPDATE filler SET t = ?, payload = randomblob(length(payload)) WHERE id = ?').run(t, id);
    app.exec('COMMIT');
    this.#commits = n;
    this.acknowledged.push(`0:${n}`);
  }

  /** The request of the operation. */
  request(): JobRequest {
    const { source, database: databasePath } = this;
    switch (this.operation) {
      case 'backup':
      case 'publish':
        return this.backupRequest();
      case 'prune':
        return { kind: 'prune', folder: this.backups, retention: keep(KEPT_BY_PRUNE), lockWaitMs: LOCK_WAIT_MS };
      case 'file':
      case 'online':
        return this.#restoreRequest(this.operation, source);
      case 'in-place':
        return this.#restoreRequest('offline', source);
      case 'undo':
        return { ...this.#restoreRequest('online', source), fromOther: true };
      case 'first-boot': {
        const { path, name, manifest } = known(source);
        const { sha256 } = manifest.artifact;
        const { journalMode } = this;
        return { kind: 'first-boot', source: path, sourceName: name, sha256, databasePath, journalMode };
      }
    }
  }

  backupRequest(): JobRequest {
    const purpose = { trigger: 'manual', user: null, note: null, verify: 'quick', lockWaitMs: LOCK_WAIT_MS } as const;
    const { database: databasePath, backups: folder } = this;
    return { kind: 'backup', databasePath, folder, retention: keep(BACKUPS), ...purpose };
  }

  #restoreRequest(mode: 'file' | 'online' | 'offline', source: Backup | undefined) {
    const { path, name, manifest } = known(source);
    return {
      kind: 'restore',
      source: path,
      sourceName: name,
      sha256: manifest.artifact.sha256,
      databasePath: this.database,
      folder: this.backups,
      mode,
      to: mode === 'file' ? this.newFile : null,
      expected: null,
      user: null,
      retention: keep(BACKUPS),
      lockWaitMs: LOCK_WAIT_MS,
    } as const;
  }

  async #mustSucceed(request: JobRequest): Promise<void> {
    const { result, error } = await startJob(request, () => {}).ended;
    if (result === null) throw new Error(`the scene could not be made: ${error?.message}`);
  }

  #open(): void {
    this.#app = new DatabaseSync(this.database);
    this.#app.exec('PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL');
  }

  #close(): void {
    this.#app?.close();
    this.#app = null;
  }
}

function copy(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

function keep(count: number) {
  return { count, startBurstMs: 60_000 };
}

function known(backup: Backup | undefined) {
  if (!backup?.manifest) throw new Error('the scene has no such backup');
  return { ...backup, manifest: backup.manifest };
}
