/**
 * What must hold after a fault at a system call of an operation, and after the next run:
 *
 * - the live database passes SQLite's full check and its sums, and is wholly what it was, with every acknowledged commit,
 *   or after a restore wholly the backup; then a backup with an undo holds what was there;
 * - everything that is listed has a manifest, its digest, and is one whole moment; no earlier backup is gone;
 * - a job that was not killed says how it ended, an error says what was placed, a full disk is `DISK_FULL`;
 * - the next run is good, clears what was left, and gives the database back its journal mode.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isBackupName, STAGING_FOLDER } from '../../src/engine/format/names.ts';
import { type Backup, Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import type { Fault } from '../support/system-calls.ts';
import { type JobEnd, startJob } from '../support/torture-jobs.ts';
import { judgeLedger, readLog } from '../support/torture-ledger.ts';
import { BACKUPS, replacing, type Scene } from './calls-scene.ts';
import { DatabaseSync } from 'node:sqlite';

export interface Ending extends Pick<JobEnd, 'error' | 'result'> {
  /** Null where nothing was put in its way. */
  readonly fault: Fault | null;
  /** It had to be ended, because it went on and on. */
  readonly isStuck: boolean;
}

/** Promises that were broken; none when all is well. */
export async function judgeFault(scene: Scene, ending: Ending): Promise<readonly string[]> {
  const judge = new Judge(scene, ending);
  try {
    await judge.all();
  } catch (error) {
    judge.broken.push(`the judge itself failed: ${error instanceof Error ? error.stack : String(error)}`);
  }
  return judge.broken;
}

/** Calls of SQLite's, of which it says that they failed and not why. A disk that stays full says so of itself. */
const keptBySqlite =
  /^(openat|fsync|ftruncate|unlink|fchown) \S*((ledger\.sqlite|\.lock|-N|-R\/database)$|-wal$|-shm$|-journal$)|^pwrite64 \S*-shm$/;

class Judge {
  readonly broken: string[] = [];
  readonly #scene: Scene;
  readonly #ending: Ending;
  readonly #isKilled: boolean;
  #isRepeated = false;
  /** All that was acknowledged before the operation ended. */
  readonly #before: readonly string[];

  constructor(scene: Scene, ending: Ending) {
    this.#scene = scene;
    this.#ending = ending;
    this.#isKilled = ending.fault?.kind.startsWith('killed') ?? false;
    this.#before = [...scene.acknowledged];
  }

  async all(): Promise<void> {
    const { operation, database, complaint } = this.#scene;
    if (complaint !== null) this.broken.push(complaint);
    this.#judgeAnswer();
    const listed = await this.#judgeListed('at once');
    if (operation === 'backup' || operation === 'publish') this.#judgeMade(listed);
    if (operation === 'file') this.#judgeNewFile();
    const { result } = this.#ending;
    if (operation === 'first-boot' && !existsSync(database)) {
      if (result !== null) this.broken.push('the first boot ended well, and there is no database');
      await this.#repeat('the next first boot');
      this.#isRepeated = true;
    }
    const isReplaced = this.#judgeLive();
    if (operation === 'file') await this.#repeat('the next restore to a file');
    if (operation === 'prune') await this.#judgePrune();
    await this.#goOn(isReplaced);
  }

  #judgeAnswer(): void {
    const { error, result, fault, isStuck } = this.#ending;
    if (isStuck) this.broken.push('the job did not end');
    else if (!this.#isKilled && error === null && result === null) this.broken.push('the job ended without an answer');
    const isFull = fault?.kind === 'full' || (fault?.kind === 'ENOSPC' && !keptBySqlite.test(fault.call.name));
    if (isFull && error && error.code !== 'DISK_FULL')
      this.broken.push(`a full disk is reported as ${error.code}: ${error.message}`);
  }

  /** @param runs that may each have removed the oldest, since they made one more. */
  async #judgeListed(when: string, runs = 1): Promise<readonly Backup[]> {
    const { backups, earlier, safety, operation } = this.#scene;
    const listed = await new Catalog(backups).list();
    for (const backup of listed) this.#judgeBackup(backup, when);
    const kept = operation === 'prune' ? 1 : BACKUPS - runs;
    const mustBe = [...earlier.slice(0, kept), ...(safety ? [safety] : [])];
    const gone = mustBe.filter(({ name }) => !listed.some((backup) => backup.name === name));
    for (const { name } of gone) this.broken.push(`${when}: ${name} is gone`);
    if (operation !== 'prune' && listed.length <= BACKUPS) this.broken.push(`${when}: only ${listed.length} backups`);
    return listed;
  }

  /** A backup is there exactly when the job says so. */
  #judgeMade(listed: readonly Backup[]): void {
    const { earlier, safety } = this.#scene;
    const { result, error } = this.#ending;
    const old = new Set([...earlier, ...(safety ? [safety] : [])].map(({ name }) => name));
    const made = listed.find(({ name }) => !old.has(name));
    if (result !== null && !made) this.broken.push('the run ended well, and its backup is not there');
    if (error && made) this.broken.push(`the run failed, and its backup is there: ${error.code} ${error.message}`);
  }

  #judgeBackup({ name, path, manifest, fault }: Backup, when: string): void {
    if (manifest === null || fault !== null) {
      this.broken.push(`${when}: ${name} is listed ${fault ?? 'without manifest'}`);
      return;
    }
    if (digestOf(path) !== manifest.artifact.sha256) this.broken.push(`${when}: ${name} has another digest`);
    const { complaint } = judgeLedger(path, { unwritten: true, gapless: false });
    if (complaint !== null) this.broken.push(`${when}: ${name}: ${complaint}`);
  }

  /** Is the backup in place? Neither that nor what was there is the worst that can be. */
  #judgeLive(): boolean {
    const { database, operation, sourceLog } = this.#scene;
    if (!existsSync(database)) {
      this.broken.push('there is no database');
      return false;
    }
    // A hot journal can only be rolled back by one who may write.
    this.#scene.openApp({ settle: true });
    const { complaint } = judgeLedger(database, { unwritten: false, gapless: false });
    if (complaint !== null) this.broken.push(`the live database: ${complaint}`);
    const log = readLog(database, { unwritten: false });
    const [isOld, isNew] = [isSame(log, this.#before), isSame(log, sourceLog)];
    if (operation === 'first-boot') {
      if (!this.#isRepeated) this.#judgeWords(isNew);
      if (!isNew) this.broken.push('the database is not the backup');
      this.#scene.acknowledged = [...log];
      return false;
    }
    if (!isOld && !(replacing.has(operation) && isNew))
      this.broken.push(`the database holds ${log.join(' ')} instead of ${this.#before.join(' ')}`);
    const isReplaced = !isOld && isNew;
    if (replacing.has(operation)) this.#judgeWords(isReplaced);
    if (isReplaced) this.#scene.acknowledged = [...log];
    return isReplaced;
  }

  #judgeWords(isReplaced: boolean): void {
    const { error, result } = this.#ending;
    if (result !== null && !isReplaced) this.broken.push('the restore ended well, and its backup is not there');
    const saysSo = /was put in place|the restored database|holds either what was there before or/.test(
      error?.message ?? '',
    );
    if (error && isReplaced && !saysSo)
      this.broken.push(`it was placed, and the error does not say so: ${error.message}`);
  }

  #judgeNewFile(): void {
    const { newFile, source } = this.#scene;
    const { error, result } = this.#ending;
    const isThere = existsSync(newFile);
    if (result !== null && !isThere) this.broken.push('the restore ended well, and its file is not there');
    if (!isThere) return;
    if (digestOf(newFile) !== source?.manifest?.artifact.sha256) this.broken.push('the new file is not the backup');
    if (error && !error.message.includes('was put in place'))
      this.broken.push(`the new file is there, and the error does not say so: ${error.message}`);
  }

  /** The same again, with nothing in its way. */
  async #repeat(what: string): Promise<void> {
    const { error } = await startJob(this.#scene.request(), () => {}).ended;
    // What is there by now is never written over.
    const isThere = this.#scene.operation === 'file' && error?.code === 'TARGET_EXISTS';
    if (error !== null && !isThere) this.broken.push(`${what} failed: ${error.code} ${error.message}`);
  }

  async #judgePrune(): Promise<void> {
    await this.#repeat('the next prune');
    const listed = await this.#judgeListed('after the next prune');
    if (listed.length !== 2) this.broken.push(`the next prune left ${listed.length} backups`);
  }

  /** The app goes on, and the next run is made. */
  async #goOn(isReplaced: boolean): Promise<void> {
    const scene = this.#scene;
    scene.openApp();
    scene.commit();
    const { result, error } = await startJob(scene.backupRequest(), () => {}).ended;
    if (result === null) this.broken.push(`the next run failed: ${error?.code} ${error?.message}`);
    const listed = await this.#judgeListed('after the next run', 2);
    const newest = listed.find(({ manifest }) => manifest?.trigger === 'manual');
    if (result !== null && newest && !isSame(readLog(newest.path, { unwritten: true }), scene.acknowledged))
      this.broken.push('the next backup does not hold all that was acknowledged');
    if (isReplaced) this.#judgeUndo(listed);
    this.#judgeLeftovers();
    const mode = journalModeOf(scene.database);
    if (mode !== scene.journalMode) this.broken.push(`the database is left in journal mode ${mode}`);
    scene.end();
    const { complaint } = judgeLedger(scene.database, { unwritten: false, gapless: false });
    if (complaint !== null) this.broken.push(`the live database after the next run: ${complaint}`);
  }

  #judgeUndo(listed: readonly Backup[]): void {
    const undoes = listed.filter(({ manifest }) => manifest?.replacedBy !== undefined);
    const holdsAll = undoes.some(({ path }) => isSame(readLog(path, { unwritten: true }), this.#before));
    if (!holdsAll) this.broken.push('no undo holds what was there before');
  }

  #judgeLeftovers(): void {
    const { backups, database, newFile } = this.#scene;
    const entries = readdirSync(backups);
    for (const entry of entries) {
      const owner = entry.replace(/\.json$/, '');
      const isHalf = isBackupName(owner) && !(entries.includes(owner) && entries.includes(`${owner}.json`));
      if (isHalf || entry.endsWith('.tmp') || entry.includes('late-')) this.broken.push(`${entry} was left`);
    }
    const staging = join(backups, STAGING_FOLDER);
    if (existsSync(staging)) for (const entry of readdirSync(staging)) this.broken.push(`${entry} was left in staging`);
    const known = ['', '-wal', '-shm'].map((suffix) => `${basename(database)}${suffix}`);
    for (const [folder, mayBe] of [
      [dirname(database), known],
      [dirname(newFile), [basename(newFile)]],
    ] as const) {
      for (const entry of readdirSync(folder))
        if (!mayBe.includes(entry)) this.broken.push(`${entry} was left in ${basename(folder)}`);
    }
  }
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.join(' ') === other.join(' ');
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function journalModeOf(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return String(database.prepare('PRAGMA journal_mode').get()?.['journal_mode']);
  } finally {
    database.close();
  }
}
