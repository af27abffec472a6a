/**
 * A machine that starts without its database gets the newest good backup back, before the app opens the path and begins
 * an empty one. What is there is never touched, and "no backup, first boot" is said only when it is known: an S3 that
 * does not answer, a backup that can't be opened, a part of a database that lies there are errors.
 */
import { type BigIntStats, lstatSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseIdentities } from '../engine/age.ts';
import { plainCopy } from '../engine/artifact.ts';
import { type Catalog, inOrder } from '../engine/catalog/catalog.ts';
import { BackupError, type ErrorCode } from '../engine/errors.ts';
import type { FirstBootRequest } from '../engine/jobs/protocol.ts';
import type { JobOptions } from '../engine/jobs/run-job.ts';
import { takeLock } from '../engine/run-lock.ts';
import { leadsNowhere } from '../engine/sqlite/missing.ts';
import { leftoverOf } from '../engine/sqlite/stamp.ts';
import { isHere, isOwn, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { FetchOptions } from './downloads.ts';
import type { Log } from './log.ts';
import type { FirstBoot, FirstBootSkipped, RunProgress, TargetName } from './model.ts';
import { targetWord } from './remote-targets.ts';
import type { RunHistory } from './run-history.ts';
import type { Runs } from './runs.ts';

export interface FirstBootsOptions {
  readonly catalog: Catalog;
  readonly backups: Backups;
  readonly runs: Runs;
  readonly history: () => RunHistory;
  /** Those beside the folder, and where each is; also what is switched off. */
  readonly remotes: () => readonly { readonly target: TargetName; readonly place: string }[];
  /** As configured. */
  readonly databasePath: string;
  /** Absolute. */
  readonly database: string;
  /** Of the backups, as configured. */
  readonly folder: string;
  readonly job: (request: FirstBootRequest, options: Omit<JobOptions, 'environment'>) => Promise<null>;
  /** It is the database of that id from now on. */
  readonly onRestored: (databaseId: string | undefined) => Promise<void>;
  readonly log: Log;
}

export interface FirstBootOptions {
  /** A file of age with the private key that opens encrypted copies on S3. Read only when the database is missing. */
  readonly identityFile?: string;
  /** If there are backups of another database alone, the newest good one of them becomes this one. */
  readonly fromOther?: boolean;
  /** Takes a copy that is not encrypted also where recipients are set for its target; else it is passed over. */
  readonly allowPlain?: boolean;
  readonly onProgress?: (run: RunProgress) => void;
}

const LOCK_FILE = '.velist-first-boot.lock';
/** For another process that brings the same database back, download and all. */
const LOCK_WAIT_MS = 6 * 3_600_000;

const weights = {
  local: { check: 50, place: 40, prove: 10 },
  remote: { fetch: 80, check: 10, place: 7, prove: 3 },
};

/** Something is wrong with this copy alone; the next one may be good. */
const isOfThisCopy: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['VERIFY_FAILED', 'BAD_BACKUP', 'PLAIN_COPY', 'NOT_SQLITE', 'CHECK_GAVE_UP'] as const),
  ...(['NO_BACKUP', 'GONE', 'S3_MISMATCH', 'S3_ARCHIVED'] as const),
]);

export class FirstBoots {
  readonly #options: FirstBootsOptions;
  #waiting = new AbortController();

  constructor(options: FirstBootsOptions) {
    this.#options = options;
  }

  async restoreIfMissing(options: FirstBootOptions = {}): Promise<FirstBoot> {
    const { catalog, database, log, databasePath: path } = this.#options;
    if (lookAt(database) === 'present') return this.#present();
    const identity = options.identityFile === undefined ? undefined : readIdentity(options.identityFile);
    await catalog.prepare();
    using _lock = await this.#takeLock();
    const found = lookAt(database);
    if (found === 'present') return this.#present();

    const all = this.#choose(await this.#allCopies(), options);
    if (all.length === 0) {
      this.#refuseWhenOneWasMade();
      const looked = [this.#options.folder, ...this.#options.remotes().map(({ place }) => place)];
      log('info', `No backup, first boot: there is none in ${looked.join(' and none in ')}.`);
      return { outcome: 'first-boot', path, looked };
    }
    if (found === 'empty') {
      throw new BackupError('DB_EMPTY', `${path} is an empty file, and there are backups`, {
        hint: 'It was left as it is. Remove it to have the newest good backup brought back, or go on without that if it shall be empty.',
      });
    }
    return await this.#bringBack(all, { ...options, identity });
  }

  /** Who waits for another process waits no longer. */
  stop(): void {
    this.#waiting.abort();
    this.#waiting = new AbortController();
  }

  #present(): FirstBoot {
    const { databasePath: path, log } = this.#options;
    log('info', `${path} is there; nothing was brought back.`);
    return { outcome: 'present', path };
  }

  async #takeLock(): Promise<Disposable> {
    try {
      const { catalog, log } = this.#options;
      const warn = (message: string) => log('warn', message);
      return await takeLock(join(catalog.folder, LOCK_FILE), {
        ...{ waitMs: LOCK_WAIT_MS, signal: this.#waiting.signal, warn },
      });
    } catch (error) {
      throw BackupError.from(error);
    }
  }

  /**
   * Newest first; of several copies of one backup the copy here comes first, because it needs no download, and one in an
   * archive class last.
   */
  async #allCopies(): Promise<readonly KnownBackup[]> {
    const here: readonly KnownBackup[] = await this.#options.backups.at('local');
    const copies = [...here];
    for (const { target } of this.#options.remotes()) copies.push(...(await this.#at(target)));
    const firsts = new Map(copies.toReversed().map((backup) => [backup.name, backup]));
    const isArchived = (copy: KnownBackup) => Number(!isHere(copy) && Boolean(copy.archive));
    return inOrder([...firsts.values()]).flatMap(({ name }) =>
      copies.filter((copy) => copy.name === name).toSorted((a, b) => isArchived(a) - isArchived(b)),
    );
  }

  async #at(target: TargetName): Promise<readonly KnownBackup[]> {
    try {
      return await this.#options.backups.at(target);
    } catch (error) {
      const known = BackupError.from(error);
      throw new BackupError(known.code, `whether ${targetWord(target)} holds a backup is not known: ${known.message}`, {
        hint: `${known.hint} Nothing was brought back; an app that starts now begins an empty database.`,
        cause: known,
      });
    }
  }

  /**
   * Ours alone. Where there are only those of others, an empty database would begin on top of a mix-up.
   *
   * @throws BackupError FOREIGN_PLACE
   */
  #choose(all: readonly KnownBackup[], { fromOther = false }: FirstBootOptions): readonly KnownBackup[] {
    const own = all.filter(isOwn);
    const others = [...new Set(all.flatMap(({ other }) => other?.name ?? []))];
    if (own.some(({ manifest, fault }) => manifest ?? fault) || others.length === 0) return own;
    if (fromOther && others.length === 1) return all;
    const { databasePath: path } = this.#options;
    throw new BackupError(
      'FOREIGN_PLACE',
      `${path} is missing, and the backups that are there are of another database: ${others.join(', ')}`,
      {
        hint:
          others.length > 1
            ? `Nothing was brought back. Restore the right one by its name: velist-backup restore NAME --to ${path}`
            : `Nothing was brought back. If ${path} is that database, moved or renamed, say so (velist-backup claim) and start again; if its data shall become this one: --from-other`,
      },
    );
  }

  /** A disk that is not mounted looks like a new one. */
  #refuseWhenOneWasMade(): void {
    const made = this.#options.history().list({ limit: 1, kind: 'backup', result: 'success' })[0]?.backup;
    if (!made) return;
    throw new BackupError('NO_BACKUP', `there is no backup, but ${made} was made before`, {
      hint: 'See whether the disk with the backups is mounted, and whether BACKUP_LOCAL_PATH and BACKUP_S3_PATH are right. To begin anew, remove the run history (BACKUP_STATE_PATH).',
    });
  }

  async #bringBack(
    copies: readonly KnownBackup[],
    options: FirstBootOptions & { readonly identity: string | undefined },
  ): Promise<FirstBoot> {
    const { log, database, databasePath: path } = this.#options;
    const skipped: FirstBootSkipped[] = [];
    let plain: BackupError | null = null;
    for (const copy of copies) {
      const from = isHere(copy) ? 'local' : copy.target;
      try {
        refuseUnusable(copy);
        // A safety backup holds what a restore replaced on purpose.
        if (copy.manifest?.trigger === 'safety') continue;
        const isRefused = !isHere(copy) && this.#options.backups.requireOffsite(copy.target).refuses(copy);
        if (isRefused && !options.allowPlain) throw plainCopy(copy.name, from);
        await this.#tryCopy(copy, options);
        if (!copy.other) await this.#options.onRestored(copy.manifest?.databaseId);
        log('info', `Restored: ${copy.name} (${from}) to ${path}, which was missing.`);
        return { outcome: 'restored', path, backup: copy.name, from, skipped };
      } catch (error) {
        const known = BackupError.from(error);
        // Placed by someone who asked nobody.
        if (known.code === 'TARGET_EXISTS' && lookAt(database) === 'present') return this.#present();
        if (!isOfThisCopy.has(known.code)) throw known;
        if (known.code === 'PLAIN_COPY') plain ??= known;
        log('warn', `Not brought back: ${copy.name} (${from}): ${known.message}. The next one is tried.`);
        skipped.push({ filename: copy.name, from, reason: known.message });
      }
    }
    const [first] = skipped;
    const why = first ? `${first.filename} (${first.from}): ${first.reason}` : 'what is there was made before restores';
    throw new BackupError('NO_BACKUP', `none of the backups can be brought back; ${why}`, {
      hint: plain
        ? `Nothing was changed. ${plain.hint}`
        : 'Nothing was changed. See velist-backup list and velist-backup list --target s3; a file without a manifest can be adopted.',
    });
  }

  async #tryCopy(
    copy: KnownBackup,
    options: { readonly identity: string | undefined } & FirstBootOptions,
  ): Promise<void> {
    const { runs, database, job } = this.#options;
    const run = runs.begin({
      ...{ kind: 'restore', user: null, backup: copy.name },
      weights: weights[isHere(copy) ? 'local' : 'remote'],
    });
    run.listen(options.onProgress);
    try {
      const { manifest } = copy;
      if (!manifest) throw withoutManifest(copy);
      const source = await this.#sourceOf(copy, run, options);
      const request: FirstBootRequest = {
        ...{ kind: 'first-boot', source, sourceName: copy.name, databasePath: database },
        ...{ sha256: manifest.database.sha256, journalMode: manifest.source.journalMode },
      };
      await runs.inLine(async () => {
        runs.active = run;
        try {
          await job(request, { signal: run.abort.signal, onEvent: (event) => run.hear(event) });
        } finally {
          runs.active = null;
        }
      });
      runs.record(run.end({ result: 'success', backup: copy.name, sizeBytes: manifest.database.sizeBytes }));
      // A start that fails before this goes on with what it has; now it is only a second copy.
      if (!isHere(copy)) rmSync(source, { force: true });
    } catch (error) {
      const known = BackupError.from(error);
      runs.record(
        run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', backup: copy.name, error: known }),
      );
      throw known;
    }
  }

  async #sourceOf(
    copy: KnownBackup,
    run: Parameters<Runs['fetching']>[0],
    { identity, allowPlain }: { readonly identity: string | undefined } & FirstBootOptions,
  ): Promise<string> {
    const { backups, runs, databasePath } = this.#options;
    if (isHere(copy)) return await backups.path(copy);
    const { target } = copy;
    if (copy.manifest?.artifact.encryption === 'age' && identity === undefined) {
      throw new BackupError(
        'BAD_REQUEST',
        `${copy.name} on ${targetWord(target)} is encrypted, and no private key was named`,
        {
          hint: `Name its file: --identity FILE, or restoreIfMissing({ identityFile }). ${databasePath} was not made.`,
        },
      );
    }
    const fetchHere = (given: FetchOptions) =>
      backups.requireOffsite(target).downloads.fetchHere(copy.name, { ...given, identity, allowPlain });
    return await runs.fetching(run, fetchHere);
  }
}

/** By `stat` alone: nothing there is ever opened. */
function lookAt(path: string): 'present' | 'empty' | 'missing' {
  // Before the file itself: one that appears meanwhile brings its log along.
  const left = leftoverOf(path);
  const found = statOf(lstatSync, path);
  if (!found) {
    if (!left) return 'missing';
    throw new BackupError('RESTORE_IN_USE', `${left} lies there without its database`, {
      hint: 'It may hold what was committed last. Find the database it belongs to, or move it away; then try again.',
    });
  }
  const file = statOf(statSync, path);
  if (!file) {
    throw leadsNowhere(path);
  }
  if (!file.isFile()) {
    throw new BackupError('NOT_SQLITE', `${path} is not a file`, {
      hint: 'A container that mounts a file that is missing makes a folder of it. Mount the folder of the database instead.',
    });
  }
  return file.size === 0n && !left ? 'empty' : 'present';
}

function statOf(
  stat: (path: string, options: { bigint: true; throwIfNoEntry: false }) => BigIntStats | undefined,
  path: string,
): BigIntStats | undefined {
  try {
    return stat(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw BackupError.from(error);
  }
}

/** What the catalog knows of a copy before anything is read. */
function refuseUnusable(copy: KnownBackup): void {
  const complaint = copy.fault ?? copy.manifest?.verification.complaint;
  if (complaint) {
    throw new BackupError('VERIFY_FAILED', complaint, { hint: 'It can not be relied on; use another backup.' });
  }
  if (!copy.manifest) throw withoutManifest(copy);
}

function withoutManifest({ name }: KnownBackup): BackupError {
  return new BackupError('BAD_BACKUP', 'it has no manifest, so nobody knows whether it is whole', {
    hint: `Adopt it: velist-backup adopt ${name}`,
  });
}

function readIdentity(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new BackupError('BAD_REQUEST', `the identity file ${path} can't be read`, {
      hint: 'Name the file that age-keygen wrote, with the private key.',
      cause,
    });
  }
  parseIdentities(text);
  return text;
}
