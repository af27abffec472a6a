/**
 * A machine that starts without its database gets the newest state back that there is, before the app opens the path and
 * begins an empty one: a captured moment where the folder survived with its stream, else the newest good backup. What is
 * there is never touched, and "no backup, first boot" is said only when it is known: a target that does not answer, a
 * backup that can't be opened, a part of a database that lies there are errors. An older state than the newest that was
 * captured comes back only with a warning that says what it lacks.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseIdentities } from '../../engine/format/age.ts';
import { plainCopy } from '../../engine/format/seal.ts';
import { BackupError, says } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { takeLock } from '../../engine/disk/lock.ts';
import { type ConsideredCopy, type PlannedPlace, planRestore } from '../../engine/restore-points/plan.ts';
import { isHere, type KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import { type MomentSource, type NewestMoment, newestMomentOf } from '../continuous/moment-source.ts';
import type { Streams } from '../continuous/streams.ts';
import type { FetchOptions } from '../targets/downloads.ts';
import type { ServiceContext } from '../context.ts';
import { lookAt } from './boot-look.ts';
import { inOrder, isOfOther, isOlder, lackOfBackup, lackOfMoment, noMomentLeft, unknownThere } from './boot-stream.ts';
import type { FirstBoot, FirstBootSkipped } from './restore-result.ts';
import type { RunProgress } from '../../words/run.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import type { FirstBootRequest } from '../../engine/stories/first-boot.ts';

export interface FirstBootOptions {
  /** A file of age with the private key that opens encrypted copies at a target. Read only when the database is missing. */
  readonly identityFile?: string;
  /** If there are backups of another database alone, the newest good one of them becomes this one. */
  readonly fromOther?: boolean;
  /** Takes a copy that is not encrypted also where recipients are set for its target; else it is passed over. */
  readonly allowPlain?: boolean;
  readonly onProgress?: (run: RunProgress) => void;
}

/** With the private key instead of its file. */
type CopyOptions = FirstBootOptions & { readonly identity: string | undefined };

interface PlacedStream extends NewestMoment {
  readonly source: MomentSource;
}

interface Candidate {
  readonly name: string;
  readonly from: TargetName;
  /** What was captured and is not in it, in whole sentences; null if nothing. */
  readonly lack: string | null;
  readonly bringBack: () => Promise<void>;
}

const LOCK_FILE = '.velist-first-boot.lock';
/** For another process that brings the same database back, download and all. */
const LOCK_WAIT_MS = 6 * 3_600_000;

const weights = {
  local: { check: 50, place: 40, prove: 10 },
  remote: { fetch: 80, check: 10, place: 7, prove: 3 },
};

export class FirstBoots {
  readonly #context: ServiceContext;
  readonly #backups: Backups;
  readonly #streams: Streams;
  readonly #targets: RemoteTargets;
  #waiting = new AbortController();

  constructor(
    context: ServiceContext,
    parts: { readonly backups: Backups; readonly streams: Streams; readonly targets: RemoteTargets },
  ) {
    this.#context = context;
    this.#backups = parts.backups;
    this.#streams = parts.streams;
    this.#targets = parts.targets;
  }

  async restoreIfMissing(options: FirstBootOptions = {}): Promise<FirstBoot> {
    const { audit } = this.#context;
    const act = 'restore-if-missing';
    try {
      const found = await this.#bringBackIfMissing(options);
      if (found.outcome === 'restored') audit.add({ act, subject: found.backup, target: found.from });
      return found;
    } catch (error) {
      audit.failed({ act }, error);
      throw error;
    }
  }

  async #bringBackIfMissing(options: FirstBootOptions): Promise<FirstBoot> {
    const { catalog, database, folder, log } = this.#context;
    const path = database.named;
    if (lookAt(database.path) === 'present') return this.#present();
    const identity = options.identityFile === undefined ? undefined : readIdentity(options.identityFile);
    await catalog.prepare();
    using _lock = await this.#takeLock();
    const found = lookAt(database.path);
    if (found === 'present') return this.#present();

    const places = await this.#allPlaces();
    const plan = planRestore(
      { point: { latest: true }, purpose: 'first-boot', fromOther: options.fromOther, allowPlain: options.allowPlain },
      places,
      { now: this.#context.now() },
    );
    if (plan.isForeign) throw this.#foreign(plan.others);
    const takesOthers = plan.considered.some(({ copy }) => copy.other);
    const streams = await this.#ownStreams(places, takesOthers, { ...options, identity });
    if (plan.considered.length === 0 && streams.length === 0) {
      this.#refuseWhenOneWasMade();
      const looked = [folder.named, ...this.#targets.all.map(({ address }) => address)];
      log('info', `No backup, first boot: there is none in ${looked.join(' and none in ')}.`);
      return { outcome: 'first-boot', path, looked };
    }
    if (found === 'empty') {
      throw new BackupError('DB_EMPTY', `${path} is an empty file, and there are backups`, {
        hint: 'It was left as it is. Remove it to restore the newest good backup, or start without restoring if it is meant to be empty.',
      });
    }
    return await this.#bringBack(this.#candidates(plan.considered, streams, { ...options, identity }));
  }

  /** What was captured, by place and newest first, unless it is of another database. */
  async #ownStreams(
    places: readonly PlannedPlace<KnownBackup>[],
    takesOthers: boolean,
    options: CopyOptions,
  ): Promise<readonly PlacedStream[]> {
    const found: PlacedStream[] = [];
    for (const { target, copies } of places) {
      const source = this.#streams.at(target);
      const stream = await this.#newestOf(source, options);
      if (stream === null) continue;
      if (takesOthers || !isOfOther(stream, copies)) {
        found.push({ ...stream, source });
        continue;
      }
      const where = target === 'local' ? 'in this folder, which' : `to ${targetWord(target)}, which`;
      this.#context.log(
        'warn',
        `Commits were captured ${where} holds backups of other databases too; nothing says that they are of this one, so none of them is brought back.`,
      );
    }
    return inOrder(found);
  }

  async #newestOf(source: MomentSource, options: CopyOptions): Promise<NewestMoment | null> {
    if (source.target === 'local') return await this.#streams.here.newestMoment();
    try {
      return await newestMomentOf(source, options);
    } catch (error) {
      const { code, message } = BackupError.from(error);
      if (code !== 'PLAIN_COPY') throw unknownThere(source.target, 'captured moments', error);
      this.#context.log('warn', `Not brought back: the captured moments (${source.target}): ${message}.`);
      return null;
    }
  }

  /** What is tried, in this order: each captured moment comes before the first copy that is older. */
  *#candidates(
    considered: readonly ConsideredCopy<KnownBackup>[],
    streams: readonly PlacedStream[],
    options: CopyOptions,
  ): Generator<Candidate, void> {
    const [newest = null] = streams;
    const waiting = [...streams];
    for (const { copy, target: from, passedOver } of considered) {
      // It holds what a restore replaced on purpose, or what came from elsewhere: nobody misses it.
      if (passedOver?.reason === 'safety' || passedOver?.reason === 'arrived') continue;
      for (let next = waiting[0]; next; next = waiting[0]) {
        if (next.moment !== null && !isOlder(copy, next.moment, next.tag)) break;
        yield this.#moment(next, newest, options);
        waiting.shift();
      }
      const bringBack = async () => {
        if (passedOver) throw unusable(copy, from, passedOver);
        await this.#tryCopy(copy, options);
        if (!copy.other) await this.#context.places.restored(copy.manifest?.databaseId);
      };
      yield { name: copy.name, from, lack: newest && lackOfBackup(copy, newest), bringBack };
    }
    for (const stream of waiting) yield this.#moment(stream, newest, options);
  }

  #moment({ source, moment, ...stream }: PlacedStream, newest: NewestMoment | null, options: CopyOptions): Candidate {
    const from = source.target;
    if (moment === null) {
      const bringBack = () => Promise.reject(noMomentLeft());
      return { name: 'the captured moments', from, lack: null, bringBack };
    }
    const { bookmark } = moment;
    return {
      ...{ name: bookmark, from, lack: lackOfMoment(moment, newest ?? { moment, ...stream }) },
      bringBack: async () => await this.#tryMoment(bookmark, source, options),
    };
  }

  /** A first boot that waits for another process waits no longer. */
  stop(): void {
    this.#waiting.abort();
    this.#waiting = new AbortController();
  }

  #present(): FirstBoot {
    const { database, log } = this.#context;
    const path = database.named;
    log('info', `${path} is there; nothing was brought back.`);
    return { outcome: 'present', path };
  }

  async #takeLock(): Promise<Disposable> {
    try {
      const { catalog, log } = this.#context;
      const warn = (message: string) => log('warn', message);
      return await takeLock(join(catalog.folder, LOCK_FILE), {
        ...{ waitMs: LOCK_WAIT_MS, signal: this.#waiting.signal, warn },
      });
    } catch (error) {
      throw BackupError.from(error);
    }
  }

  /** Also the targets that are switched off. */
  async #allPlaces(): Promise<readonly PlannedPlace<KnownBackup>[]> {
    const places = [await this.#backups.placeAt('local')];
    for (const { target } of this.#targets.all) places.push(await this.#placeAt(target));
    return places;
  }

  async #placeAt(target: TargetName): Promise<PlannedPlace<KnownBackup>> {
    try {
      return await this.#backups.placeAt(target);
    } catch (error) {
      throw unknownThere(target, 'a backup', error);
    }
  }

  /** If there are only backups of others, an empty database would begin on top of a mix-up. */
  #foreign(others: readonly string[]): BackupError {
    const path = this.#context.database.named;
    return new BackupError(
      'FOREIGN_PLACE',
      `${path} is missing, and the backups that are there are of another database: ${others.join(', ')}`,
      {
        hint:
          others.length > 1
            ? `Nothing was brought back. Restore the right one by its name: velist-backup restore NAME --to ${path}`
            : `Nothing was brought back. If ${path} is that database, moved or renamed, say so (velist-backup claim) and start again; if its data is to become this one: --from-other`,
      },
    );
  }

  /** A disk that is not mounted looks like a new one. */
  #refuseWhenOneWasMade(): void {
    const made = this.#context.state.history.list({ limit: 1, kind: 'backup', result: 'success' })[0]?.backup;
    if (!made) return;
    const settings = [...new Set(['BACKUP_LOCAL_PATH', ...this.#targets.all.map(({ words }) => words.setting)])];
    throw new BackupError('NO_BACKUP', `there is no backup, but ${made} was made before`, {
      hint: `Check whether the disk with the backups is mounted, and whether ${settings.join(' and ')} ${settings.length > 1 ? 'are' : 'is'} right. To start from scratch, remove the run history (BACKUP_STATE_PATH).`,
    });
  }

  async #bringBack(candidates: Iterable<Candidate>): Promise<FirstBoot> {
    const { log, database } = this.#context;
    const path = database.named;
    const skipped: FirstBootSkipped[] = [];
    let plain: BackupError | null = null;
    for (const { name, from, lack, bringBack } of candidates) {
      try {
        await bringBack();
        this.#streams.here.endReplaced();
        log('info', `Restored: ${name} (${from}) to ${path}, which was missing.`);
        if (lack !== null) log('warn', lack);
        return { outcome: 'restored', path, backup: name, from, skipped, ...(lack !== null && { lack }) };
      } catch (error) {
        const known = BackupError.from(error);
        // Placed by someone who asked nobody.
        if (known.code === 'TARGET_EXISTS' && lookAt(database.path) === 'present') return this.#present();
        if (!says(known.code, 'another-copy-may-do')) throw known;
        if (known.code === 'PLAIN_COPY') plain ??= known;
        log('warn', `Not brought back: ${name} (${from}): ${known.message}. The next one is tried.`);
        skipped.push({ filename: name, from, reason: known.message });
      }
    }
    throw this.#noneWillDo(skipped, plain);
  }

  #noneWillDo([first]: readonly FirstBootSkipped[], plain: BackupError | null): BackupError {
    const lists = ['', ...this.#targets.all.map(({ target }) => ` --target ${target}`)]
      .map((from) => `velist-backup list${from}`)
      .join(' and ');
    const why = first ? `${first.filename} (${first.from}): ${first.reason}` : 'what is there was made before restores';
    return new BackupError('NO_BACKUP', `none of the backups can be brought back; ${why}`, {
      hint: plain
        ? `Nothing was changed. ${plain.hint}`
        : `Nothing was changed. See ${lists}; a file without a manifest can be adopted.`,
    });
  }

  async #tryMoment(bookmark: string, source: MomentSource, { onProgress, ...opened }: CopyOptions): Promise<void> {
    const { runs, jobs, database } = this.#context;
    const asked = { kind: 'restore', backup: bookmark, sizeBytes: null, weights: weights.remote, onProgress } as const;
    await runs.carry(asked, async (run) => {
      using file = await source.momentFile(bookmark, run, opened);
      const request: FirstBootRequest = {
        ...{ kind: 'first-boot', source: file.path, sourceName: `moment ${bookmark}`, databasePath: database.path },
        // Its state was proven as it was built, and only a database in WAL mode is captured.
        ...{ sha256: null, journalMode: 'wal' },
      };
      await runs.enqueue(() => runs.lead(run, () => jobs.run<'first-boot'>(request, run)));
    });
  }

  async #tryCopy(copy: KnownBackup, options: CopyOptions): Promise<void> {
    const { runs, jobs, database } = this.#context;
    const { manifest } = copy;
    const asked = {
      ...({ kind: 'restore', backup: copy.name, sizeBytes: manifest?.database.sizeBytes ?? null } as const),
      ...{ weights: weights[isHere(copy) ? 'local' : 'remote'], onProgress: options.onProgress },
    };
    const source = await runs.carry(asked, async (run) => {
      if (!manifest) throw withoutManifest(copy);
      const path = await this.#sourceOf(copy, run, options);
      const request: FirstBootRequest = {
        ...{ kind: 'first-boot', source: path, sourceName: copy.name, databasePath: database.path },
        ...{ sha256: manifest.database.sha256, journalMode: manifest.source.journalMode },
      };
      await runs.enqueue(() => runs.lead(run, () => jobs.run<'first-boot'>(request, run)));
      return path;
    });
    // A start that fails before this goes on with what it has; now it is only a second copy.
    if (!isHere(copy)) rmSync(source, { force: true });
  }

  async #sourceOf(copy: KnownBackup, run: ActiveRun, { identity, allowPlain }: CopyOptions): Promise<string> {
    const { runs, database } = this.#context;
    if (isHere(copy)) return await this.#backups.path(copy);
    const { target } = copy;
    if (copy.manifest?.artifact.encryption === 'age' && identity === undefined) {
      throw new BackupError(
        'BAD_REQUEST',
        `${copy.name} on ${targetWord(target)} is encrypted, and no private key was given`,
        {
          hint: `Name its file: --identity FILE, or restoreIfMissing({ identityFile }). ${database.named} was not created.`,
        },
      );
    }
    const fetchHere = (given: FetchOptions) =>
      this.#backups.requireRemote(target).downloads.fetchHere(copy.name, { ...given, identity, allowPlain });
    return await runs.fetching(run, fetchHere);
  }
}

/** What is known of a copy before anything is read. */
function unusable(
  copy: KnownBackup,
  from: TargetName,
  { reason, why }: NonNullable<ConsideredCopy<KnownBackup>['passedOver']>,
): BackupError {
  if (reason === 'plain') return plainCopy(copy.name, from);
  if (reason === 'unadopted') return withoutManifest(copy);
  return new BackupError('VERIFY_FAILED', why, { hint: 'It cannot be relied on; use another backup.' });
}

function withoutManifest({ name }: KnownBackup): BackupError {
  return new BackupError('BAD_BACKUP', 'it has no manifest, so nobody knows whether it is complete', {
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
