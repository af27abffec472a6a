/**
 * Files that somebody brings from elsewhere: taken in piece by piece, checked by a job as what an attacker may have made,
 * shown, and then adopted or discarded. Until it is adopted a file is in no list, and nothing of this process reads more of
 * it than its first bytes.
 *
 * What is adopted is pinned, because retention would remove an old one at once. Nobody knows of which moment it really is, so
 * its manifest says that it came from elsewhere: no restore, no alarm and no verdict takes it by itself. One of which the
 * tables are other ones is kept as a backup of another database, and replaces this one only when somebody says so.
 */
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type ArrivalRecord, ArrivalsFolder } from '../../engine/catalog/arrivals.ts';
import { freeName } from '../../engine/catalog/publish.ts';
import { publishAsOwn } from '../../engine/catalog/own-folder.ts';
import { diskFull, explainFolderError, freeBytes } from '../../engine/disk/folder-error.ts';
import { takeLock } from '../../engine/disk/lock.ts';
import { DISK_RESERVE_BYTES } from '../../engine/disk/share.ts';
import { syncFolder } from '../../engine/disk/sync-folder.ts';
import { adoptedManifest, isAside, type Manifest } from '../../engine/format/manifest.ts';
import { backupMoment, isBackupName, LOCK_FILE, manifestName } from '../../engine/format/names.ts';
import { readHeaderOf } from '../../engine/sqlite/header.ts';
import { EMPTY, HEAD_BYTES, type OtherForm, otherForm } from '../../engine/sqlite/other-form.ts';
import { identityOf } from '../../engine/stories/check-source.ts';
import type { FileFindings } from '../../engine/stories/verify.ts';
import { BackupError } from '../../words/errors.ts';
import { NOTE_LETTERS_MAX } from '../../words/note.ts';
import { visibleLine } from '../../words/visible-text.ts';
import { currentActor } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import { compareBackups, totalRows, withFacts } from '../protection/differences.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { Retention } from '../protection/retention.ts';
import type { Claims } from '../targets/claims.ts';
import { isHere, isOwn, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { Arrival, ArrivalsPort } from './shown-arrival.ts';
import type { BackupItem } from './shown-backup.ts';

interface ArrivalsParts {
  readonly backups: Backups;
  readonly claims: Claims;
  readonly retention: Retention;
}

type Begun = Parameters<ArrivalsPort['begin']>[0];
type ByUser = { readonly user?: string | undefined };

const NAME_LETTERS_MAX = 120;

export class Arrivals implements ArrivalsPort {
  readonly #context: ServiceContext;
  readonly #parts: ArrivalsParts;
  readonly #folder: ArrivalsFolder;
  /** Those that something is done with now. */
  readonly #busy = new Set<string>();

  constructor(context: ServiceContext, parts: ArrivalsParts) {
    this.#context = context;
    this.#parts = parts;
    this.#folder = new ArrivalsFolder(context.folder.path);
  }

  async begin(file: Begun): Promise<{ readonly id: string }> {
    return { id: await this.#begin(file) };
  }

  async append(id: string, at: number, bytes: Uint8Array): Promise<{ readonly receivedBytes: number }> {
    return await this.#alone(id, async () => {
      const record = await this.#folder.read(id);
      const received = this.#folder.receivedBytes(id);
      if (at > received || at + bytes.length > record.sizeBytes)
        throw badRequest(`${bytes.length} bytes at ${at} do not fit: ${received} of ${record.sizeBytes} have come`);
      if (at === 0) await this.#requireDatabase(id, record, bytes);
      if (record.checked) this.#folder.write(id, { ...record, checked: null });
      await this.#folder.put(id, at, bytes).catch(async (error: unknown) => {
        await this.#folder.remove(id);
        throw explainFolderError(error, this.#context.folder.path);
      });
      return { receivedBytes: at + bytes.length };
    });
  }

  async check(id: string): Promise<Arrival> {
    return await this.#alone(id, async () => {
      const { jobs, now } = this.#context;
      const record = await this.#folder.read(id);
      const received = this.#folder.receivedBytes(id);
      if (received !== record.sizeBytes)
        throw badRequest(`${received} of ${record.sizeBytes} bytes have come: it is checked when it is whole`);
      await this.#folder.flush(id);
      const path = this.#folder.file(id);
      const identity = identityOf(path);
      const request = { kind: 'verify', path, method: 'quick', sha256: null } as const;
      const found = await jobs.run<'verify'>(request).catch(async (error: unknown) => {
        throw await this.#explain(id, record, BackupError.from(error));
      });
      this.#folder.write(id, { ...record, checked: { at: now().toISOString(), identity, found } });
      return this.#shown(id, record, found, await this.#parts.backups.everywhere());
    });
  }

  async adopt(id: string, { user }: ByUser = {}): Promise<BackupItem> {
    const { audit, emit } = this.#context;
    const act = { act: 'adopt', subject: id } as const;
    const adopted = await audit.carry(act, () => this.#alone(id, () => this.#adopt(id, user ?? null)), {
      actor: currentActor(user),
      done: ({ item, from }) => ({ ...act, subject: item.filename, detail: `from ${from}` }),
    });
    emit({ type: 'backups' });
    emit({ type: 'status' });
    return adopted.item;
  }

  async discard(id: string): Promise<void> {
    // Only what is found by that name is removed.
    await this.#alone(id, async () => {
      if (await this.#folder.read(id).catch(() => null)) await this.#folder.remove(id);
    });
  }

  async adoptFile(path: string, { user }: ByUser = {}): ReturnType<ArrivalsPort['adoptFile']> {
    const { jobs, database, folder, places, waits } = this.#context;
    const source = resolve(path);
    const stat = statSync(source, { throwIfNoEntry: false });
    if (!stat?.isFile()) throw new BackupError('NO_BACKUP', `there is no file ${path}`, { hint: 'Check the path.' });
    const name = basename(source);
    if (dirname(source) === folder.path && isBackupName(name))
      throw new BackupError('BAD_REQUEST', `${name} is in the backup folder already`, {
        hint: `Adopt it by its name: velist-backup adopt ${name}`,
      });
    const id = await this.#begin({ name, sizeBytes: stat.size, modifiedAt: stat.mtime }, { isEmpty: false });
    try {
      // Copied by a job: an app may have that file open, and would lose its locks if this process closed it.
      await jobs
        .run<'restore'>({
          ...{ kind: 'restore', source, sourceName: name, sha256: null, expected: null, user: user ?? null },
          ...{ databasePath: database.path, folder: folder.path, mode: 'file', to: this.#folder.file(id) },
          ...{ retention: this.#parts.retention.ofFolder(), lockWaitMs: waits.lockMs, self: places.self },
        })
        .catch((error: unknown) => {
          const known = BackupError.from(error);
          throw known.code === 'VERIFY_FAILED' ? this.#refused(name, notSound(name, known, known.hint)) : known;
        });
      const arrival = await this.check(id);
      return { arrival, backup: await this.adopt(id, user === undefined ? {} : { user }) };
    } finally {
      await this.#folder.remove(id);
    }
  }

  async #begin({ name, sizeBytes, modifiedAt }: Begun, options: { readonly isEmpty?: boolean } = {}): Promise<string> {
    const { catalog, now, warnOnce } = this.#context;
    if (sizeBytes <= 0) throw noDatabase(shownName(name), EMPTY);
    await catalog.prepare();
    await this.#parts.claims.requireOwnFolder();
    this.#folder.sweep(now(), warnOnce);
    await this.#requireRoom(sizeBytes);
    const record = { name: shownName(name), sizeBytes, modifiedAt: modifiedAt?.toISOString() ?? null, checked: null };
    return await this.#folder.begin(record, warnOnce, options).catch((error: unknown) => {
      throw explainFolderError(error, catalog.folder);
    });
  }

  /** Room for it, for the rest of those that are on their way, and for the next backup, which must not fail for it. */
  async #requireRoom(sizeBytes: number): Promise<void> {
    const { database, folder } = this.#context;
    const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const nextBytes = sizeOf(database.path) + sizeOf(`${database.path}-wal`) + DISK_RESERVE_BYTES;
    const neededBytes = sizeBytes + (await this.#folder.awaitedBytes()) + nextBytes;
    if (freeBytes(folder.path) < neededBytes) throw diskFull(folder.path, { neededBytes });
  }

  /** At the first piece, so that nobody sends gigabytes of something else. */
  async #requireDatabase(id: string, { name, sizeBytes }: ArrivalRecord, bytes: Uint8Array): Promise<void> {
    if (bytes.length < Math.min(HEAD_BYTES, sizeBytes))
      throw badRequest(`the first piece has ${bytes.length} bytes, and needs ${HEAD_BYTES}`);
    const other = otherForm(bytes.subarray(0, HEAD_BYTES));
    if (!other) return;
    await this.#folder.remove(id);
    throw this.#refused(name, noDatabase(name, other));
  }

  /** What did not pass is not kept. */
  async #explain(id: string, { name }: ArrivalRecord, error: BackupError): Promise<BackupError> {
    if (error.code !== 'VERIFY_FAILED' && error.code !== 'CHECK_GAVE_UP') return error;
    await this.#folder.remove(id);
    if (error.code === 'CHECK_GAVE_UP') return this.#refused(name, error);
    const hint =
      'Nothing of it was kept. It may have been cut short on its way, or copied while an app was writing to it: make the copy with `velist-backup backup`, or with the .backup command of sqlite3.';
    return this.#refused(name, notSound(name, error, hint));
  }

  #refused(name: string, error: BackupError): BackupError {
    this.#context.audit.failed({ act: 'adopt', subject: name }, error);
    return error;
  }

  #shown(id: string, record: ArrivalRecord, found: FileFindings, all: readonly KnownBackup[]): Arrival {
    const { facts, sizeBytes, sha256 } = found;
    const same = all.find(({ manifest, fault }) => fault === null && manifest?.database.sha256 === sha256);
    const { likeness, diff } = compare(record.name, found, all);
    return {
      ...{ id, name: record.name, sizeBytes, sha256, likeness, diff },
      createdAt: momentOf(record, this.#context.now()),
      isWal: readHeaderOf(this.#folder.file(id))?.isWal ?? false,
      rows: totalRows(facts ?? undefined),
      tables: Object.entries(facts?.tables ?? {}).map(([name, { rows, bytes }]) => ({ name, rows, bytes })),
      furtherTables: facts?.furtherTables ?? 0,
      known: same ? { filename: same.name, createdAt: same.createdAt, other: same.other ?? null } : null,
      remarks: remarkTexts(found),
    };
  }

  async #adopt(id: string, user: string | null): Promise<{ readonly item: BackupItem; readonly from: string }> {
    const { folder, log, now, places, waits, warnOnce } = this.#context;
    const { backups, claims } = this.#parts;
    const record = await this.#folder.read(id);
    const { checked, name: from } = record;
    if (!checked || checked.identity !== identityOf(this.#folder.file(id)))
      throw badRequest('it was not checked since its last piece came');
    const found = checked.found as FileFindings; // as `check` wrote it
    const all = await backups.everywhere();
    const same = all.find((one) => isHere(one) && one.fault === null && one.manifest?.database.sha256 === found.sha256);
    if (same) {
      await this.#folder.remove(id);
      return { item: await backups.toItem(same), from };
    }
    const isAnother = compare(from, found, all).likeness === 'another';
    const self = await places.selfToWrite();
    const { signal } = new AbortController();
    using _lock = await takeLock(join(folder.path, LOCK_FILE), { waitMs: waits.lockMs, signal, warn: warnOnce });
    const owned = await claims.requireOwnFolder();
    const name = freeName(folder.path, momentOf(record, now()));
    const manifest = this.#manifestOf(name, { id, record, found, isAnother, user, verifiedAt: new Date(checked.at) });
    const publish = async (ownId: string) => {
      const origin = isAnother
        ? { databaseId: randomUUID() }
        : { databaseId: ownId, ...(self.maker && { madeBy: self.maker }) };
      await this.#publish(id, { ...manifest, ...origin });
    };
    await publishAsOwn(folder.path, owned, self, { now: now(), publish });
    await this.#folder.remove(id);
    if (!isAnother) await places.noteIdOf(name);
    log('info', `Adopted: ${name}, from ${from}.`);
    return { item: await backups.item(name), from };
  }

  #manifestOf(
    name: string,
    {
      id,
      record,
      found,
      isAnother,
      user,
      verifiedAt,
    }: {
      readonly id: string;
      readonly record: ArrivalRecord;
      readonly found: FileFindings;
      readonly isAnother: boolean;
      readonly user: string | null;
      readonly verifiedAt: Date;
    },
  ): Manifest {
    const { now, database } = this.#context;
    const modifiedNs = String(statSync(this.#folder.file(id), { bigint: true }).mtimeNs);
    const createdAt = backupMoment(name) ?? now();
    const source = isAnother ? record.name : database.name;
    return {
      ...adoptedManifest({ name, createdAt, modifiedNs }, found, { verifiedAt, source }),
      ...{ user, pinned: true, note: `From ${record.name}`.slice(0, NOTE_LETTERS_MAX) },
      arrived: { at: now().toISOString(), file: record.name },
    };
  }

  /**
   * The manifest first: if this ends in between, it has no file, the next run removes it, and the file is still what it was
   * before.
   */
  async #publish(id: string, manifest: Manifest): Promise<void> {
    const { catalog } = this.#context;
    await catalog.writeManifest(manifest);
    try {
      await rename(this.#folder.file(id), join(catalog.folder, manifest.name));
      await syncFolder(catalog.folder);
    } catch (error) {
      await rm(join(catalog.folder, manifestName(manifest.name)), { force: true });
      throw explainFolderError(error, catalog.folder);
    }
  }

  async #alone<Result>(id: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#busy.has(id))
      throw new BackupError('BUSY', 'something is being done with that file already', { hint: 'Wait for its end.' });
    this.#busy.add(id);
    try {
      return await work();
    } finally {
      this.#busy.delete(id);
    }
  }
}

/** With the newest backup of this database that was counted. */
function compare(
  name: string,
  { facts, pageSize }: FileFindings,
  all: readonly KnownBackup[],
): Pick<Arrival, 'likeness' | 'diff'> {
  const newest = all.find((one) => isOwn(one) && !isAside(one.manifest) && withFacts(one) !== null);
  const was = newest ? withFacts(newest) : null;
  if (!was || !facts) return { likeness: 'unknown', diff: null };
  const diff = compareBackups(was, { name, facts, pageSize });
  if (diff.isSameSchema) return { likeness: 'same', diff };
  const [here, there] = [was.facts, facts].map(({ tables }) => Object.keys(tables)) as [string[], string[]]; // of two
  const shared = there.filter((table) => here.includes(table)).length;
  const isSimilar = shared > 0 && 2 * shared >= Math.min(here.length, there.length);
  return { likeness: isSimilar ? 'similar' : 'another', diff };
}

/** A moment in the future, or from before there were files, was told by a wrong clock. */
function momentOf({ name, modifiedAt }: ArrivalRecord, now: Date): Date {
  const told = backupMoment(name) ?? (modifiedAt === null ? now : new Date(modifiedAt));
  return told <= now && told.getUTCFullYear() >= 1990 ? told : now;
}

/** One line, whoever made it up. */
function shownName(name: string): string {
  return visibleLine(name).trim().slice(0, NAME_LETTERS_MAX) || 'a file without a name';
}

function noDatabase(name: string, { what, hint }: OtherForm): BackupError {
  return new BackupError('BAD_BACKUP', `${name} is not a SQLite database: ${what}`, { hint });
}

function notSound(name: string, error: BackupError, hint: string): BackupError {
  const why = error.message.replace(/^the integrity check failed: /, '');
  const other = /^the file does not begin like a SQLite database: (.*)$/s.exec(why)?.[1];
  const what = other === undefined ? `is damaged or not whole: ${why}` : `is not a SQLite database: ${other}`;
  return new BackupError('BAD_BACKUP', `${name} ${what}`, { hint, cause: error });
}

function badRequest(message: string): BackupError {
  return new BackupError('BAD_REQUEST', message, { hint: 'Go on behind what has come, or send the file anew.' });
}
