/**
 * Everything that concerns one target beside the folder: what waits to be uploaded, what is there, and what is fetched from
 * it. The work is done in jobs; what is known between them is in our own small database.
 *
 * Each target has its own: its queue, its downloads, what is known of it. So one that is slow or gone holds up no other.
 *
 * A look at the list never waits for the target: the last listing answers at once. It is renewed with each upload, at the
 * start, and every quarter of an hour, and corrects what we believed: a copy that is gone there is uploaded again, one that
 * is there already is not, and a pin that was set here is set there.
 */
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { TargetSetup } from './targets.ts';
import type { Backup, Catalog } from '../../engine/catalog/folder-catalog.ts';
import type { RetentionPlan, RetentionPolicy } from '../../engine/catalog/retention.ts';
import type { JobKind, JobMap } from '../../engine/process/protocol.ts';
import type { JobOptions } from '../../engine/process/run-job.ts';
import type { Log } from '../log.ts';
import { type DatabaseSelf, idsOf } from '../../engine/writer/self.ts';
import type { Runs } from '../runs/runs.ts';
import { Writing, type WritingOptions } from './writing.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import { type Began, KnownPlace } from './known-place.ts';
import { type Compared, noticeSetBack, reconcile, saidHereAlone } from './reconcile.ts';
import { UploadQueue } from './upload-queue.ts';
import { Downloads, type FetchOptions } from './downloads.ts';
import type { SetBack, UploadOutcome, UploadState } from '../state/target-state.ts';
import { TargetState } from '../state/target-state.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { folderInState } from '../state/state-database.ts';
import type { TargetBackup } from '../backups/backup-item.ts';
import { lifecycleDaysOf, stateKeyOf, whereOf, wordsOf } from '../../engine/store/kinds.ts';
import type { StoreWords } from '../../engine/store/store.ts';
import {
  judgePlace,
  NO_IDENTITY,
  otherOf,
  type Ownership,
  type PlaceIdentity,
  requireOurs,
} from '../../engine/catalog/identity.ts';
import { lookAtFolder } from '../../engine/catalog/own-folder.ts';
import type { RemoteListing } from '../../engine/catalog/store-catalog.ts';
import { PLAIN } from '../../engine/format/seal.ts';
import { pinsOf, planRemoteRetention, type RemoteCandidate } from '../../engine/catalog/prune-store.ts';
import { isLocked, uploadLock } from '../../engine/disk/lock.ts';
import { join } from 'node:path';
import type { Uploaded } from '../../engine/stories/upload-request.ts';
import { BY_RETENTION } from '../state/run-history.ts';
import { leftToBucket } from '../../engine/store/s3/stored-as.ts';
import type { ClaimedRemote } from '../../engine/stories/hold-target.ts';
import type { WritingRequest } from '../../engine/writer/writing.ts';

interface RemoteTargetOptions {
  readonly target: TargetName;
  readonly access: TargetSetup;
  /** May change. */
  readonly prefix: () => string;
  readonly isEnabled: () => boolean;
  readonly catalog: Catalog;
  readonly statePath: string;
  /** What to keep there; null while nothing may be removed. */
  readonly retention: () => RetentionPolicy | null;
  readonly lockWaitMs: number;
  readonly job: <Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    options?: Omit<JobOptions, 'environment'>,
  ) => Promise<JobMap[Kind]['result']>;
  readonly log: Log;
  readonly now: () => Date;
  /** Which database we are. */
  readonly self: () => DatabaseSelf;
  /** The same, with an id of our own. */
  readonly selfToWrite: () => Promise<DatabaseSelf>;
  /** The place has an id that we did not know, and its name is ours. */
  readonly onFirstContact: (databaseId: string) => Promise<void>;
  /** Names of the backups that were made here since then, gone or not; null if nothing goes back that far. */
  readonly madeSince: (from: Date) => ReadonlySet<string> | null;
  /** Retention removed it there. */
  readonly onRemoved: (name: string) => void;
  readonly runs: Pick<Runs, 'carry'>;
  /** What is needed to be the one writer there. */
  readonly writing: Pick<WritingOptions, 'self' | 'everyMs' | 'isStarted' | 'hasUploaded' | 'heartbeats' | 'emit'>;
  readonly onChange: () => void;
}

/** What people say of a backup after it was made. */
export type Said = Pick<Manifest, 'pinned' | 'note' | 'loss'>;

const LIST_EVERY_MS = 15 * 60_000;

const TICK_MS = 30_000;

/** After a week without an answer the machine goes on, and what is there counts as its own. */
const SET_BACK_MS = 7 * 24 * 3_600_000;

export class RemoteTarget {
  readonly target: TargetName;
  readonly uploads: UploadQueue;
  readonly downloads: Downloads;
  readonly writing: Writing;
  readonly #options: RemoteTargetOptions;
  readonly #state: TargetState;
  readonly #aborts = new Set<AbortController>();
  readonly #known: KnownPlace;
  #listing: Promise<void> | null = null;
  #triedMs = Number.NEGATIVE_INFINITY;
  #uploading: { readonly name: string; readonly abort: AbortController; readonly ended: Promise<unknown> } | null =
    null;
  /** Backups of which the first upload is under way, or the very next thing. */
  readonly #coming = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RemoteTargetOptions) {
    this.#options = options;
    this.target = options.target;
    const { catalog, now, isEnabled, onChange } = options;
    this.#state = new TargetState(options.statePath, {
      warn: (message) => options.log('warn', message),
      folder: folderInState(options.statePath, catalog.folder),
    });
    const placeNow = () => stateKeyOf(options.access, options.prefix());
    this.#known = new KnownPlace({ state: this.#state, placeNow, now });
    this.writing = new Writing({
      ...options.writing,
      ...{ target: options.target, access: options.access, prefix: options.prefix, isEnabled, state: this.#state },
      ...{ log: options.log, now, onChange },
      onFree: () => void this.#catchUp(),
    });
    this.uploads = new UploadQueue({
      ...{ state: this.#state, now, isEnabled, onChange },
      backups: () => this.#ownHere(),
      upload: (backup) => this.#upload(backup),
    });
    this.downloads = new Downloads({
      folder: catalog.folder,
      target: this.target,
      isSealed: this.isSealed,
      sizeOf: (name) => this.#known.entries().get(name)?.manifest?.database.sizeBytes ?? null,
      fetch: async (request, given) => {
        const { lockWaitMs } = options;
        await this.#job<'fetch'>({ kind: 'fetch', ...request, ...this.access, target: this.target, lockWaitMs }, given);
      },
    });
  }

  // ── what is known ──

  /** What S3 held when it was listed last, newest first. */
  get backups(): readonly TargetBackup[] {
    const { target } = this;
    return this.#known.backups.map((backup) => ({ ...backup, target }));
  }

  find(name: string): TargetBackup | null {
    const backup = this.#known.find(name);
    return backup && { ...backup, target: this.target };
  }

  get isEnabled(): boolean {
    return this.#options.isEnabled();
  }

  /** How sentences speak of a target of that kind. */
  get words(): StoreWords {
    return wordsOf(this.#options.access);
  }

  /** After so many days a rule of the bucket removes a copy; null if we remove what retention does not keep. */
  get lifecycleDays(): number | null {
    return lifecycleDaysOf(this.#options.access);
  }

  /** Copies there are encrypted from now on. */
  get isSealed(): boolean {
    return (this.#options.access.sealing?.recipients.length ?? 0) > 0;
  }

  /** Says whose the place is, by the last look. */
  get ownership(): Ownership {
    return this.ownershipFor(this.#options.self());
  }

  ownershipFor(self: DatabaseSelf): Ownership {
    return judgePlace('target', this.identity ?? NO_IDENTITY, self, [...this.#known.entries().values()]);
  }

  /** @throws BackupError FOREIGN_PLACE, BAD_CONFIG: nothing may be written or removed there, by the last look. */
  requireOurs(): void {
    const place = { place: this.address, target: this.target, own: this.words.own };
    requireOurs(this.ownership, this.identity ?? NO_IDENTITY, place);
  }

  /** Null if nobody ever looked. */
  get identity(): PlaceIdentity | null {
    this.#known.sync();
    return this.#state.identity;
  }

  /** Notes what a claim of ours left there. */
  noteIdentity(identity: PlaceIdentity): void {
    this.#known.sync();
    this.#state.identity = identity;
  }

  /** It holds backups that this installation made and does not remember: nothing is removed there for a week. */
  get setBack(): SetBack | null {
    this.#known.sync();
    const { setBack } = this.#state;
    if (setBack === null) return null;
    return Math.abs(this.#options.now().getTime() - setBack.at.getTime()) < SET_BACK_MS ? setBack : null;
  }

  /** A person said that this machine goes on from here. */
  answerSetBack(): void {
    this.#known.sync();
    this.#state.setBack = null;
  }

  /** The backups of our database in the folder, newest first. */
  async #ownHere(): Promise<readonly Backup[]> {
    const { catalog, self } = this.#options;
    const backups = await catalog.list();
    const { ownership } = lookAtFolder(catalog.folder, self(), backups);
    return backups.filter((backup) => otherOf(ownership, backup) === null);
  }

  /** Such as `s3://bucket/path`. */
  get address(): string {
    return whereOf(this.#options.access, this.#options.prefix());
  }

  /** What a status says of the place. */
  get shown(): { readonly bucket: string | null; readonly path: string; readonly where: string } {
    const { access, prefix } = this.#options;
    const bucket = access.kind === 's3' ? access.bucket : null;
    return { bucket, path: bucket === null ? this.address : prefix(), where: this.address };
  }

  get access(): { readonly prefix: string; readonly access: TargetSetup } {
    return { prefix: this.#options.prefix(), access: this.#options.access };
  }

  get listedAt(): Date | null {
    return this.#known.listedAt;
  }

  uploadStates(): ReadonlyMap<string, UploadState> {
    this.#known.sync();
    return this.#state.uploads();
  }

  /** When what waits is tried next, and why S3 can't be used at present. */
  get waiting(): { readonly nextTryAt: Date | null; readonly error: ErrorBody | null } {
    this.#known.sync();
    const { nextTryAt, error } = this.#state.waiting;
    return { nextTryAt, error: error ?? this.#known.listError };
  }

  // ── life ──

  start(): void {
    this.uploads.resume();
    this.writing.start();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
    if (this.#options.isEnabled()) void this.#catchUp();
  }

  /** Resolves when its jobs have ended; a download that is cut goes on at the next call. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const abort of this.#aborts) abort.abort();
    await Promise.allSettled([this.uploads.stop(), this.downloads.idle(), this.#listing]);
    // The last one to write has ended.
    await this.writing.release();
  }

  close(): void {
    this.downloads.close();
    this.#state.close();
  }

  /** S3 was switched on or off, or another path was set. */
  settingsChanged(): void {
    this.#known.sync();
    this.writing.settingsChanged();
    if (this.#timer && this.#options.isEnabled()) void this.#catchUp();
    // Without S3 nothing is tried, and nobody is told of a next try.
    else if (!this.#options.isEnabled()) void this.uploads.run();
  }

  /** A pin or a note was changed here. */
  backupChanged(): void {
    if (this.#timer && this.#options.isEnabled()) void this.#refreshQuietly();
  }

  /** An object of its name is there that is no backup and may not be replaced; another name can be stored. */
  isBlocked(name: string): boolean {
    const upload = this.uploadStates().get(name);
    return this.isEnabled && upload?.status === 'failed' && upload.error.code === 'TARGET_EXISTS';
  }

  // ── look ──

  /**
   * Lists what S3 holds now; who asks at the same time shares one job.
   *
   * @throws BackupError S3_*
   */
  async refresh(): Promise<void> {
    this.#listing ??= this.#list().finally(() => {
      this.#listing = null;
    });
    await this.#listing;
  }

  async #list(): Promise<void> {
    const began = this.#known.begin();
    this.#triedMs = began.at.getTime();
    try {
      const self = this.writing.request().self;
      const request = { kind: 'list-remote' as const, ...this.access, known: this.#known.toKnow(this.identity), self };
      const listing = await this.#job<'list-remote'>({ ...request, identity: this.identity });
      await this.#applyListing(listing, began);
    } catch (error) {
      throw this.#known.failed(error);
    } finally {
      this.#options.onChange();
    }
  }

  /** A new listing: what changed is kept, and what we believed is set right. */
  async #applyListing(listing: RemoteListing, began: Began): Promise<void> {
    const taken = this.#known.take(listing, began);
    if (taken === null) return;
    const { before, after } = taken;
    if (listing.unnamed.length > 0 && before.size === 0) this.#reportUnnamed(listing.unnamed);
    if (this.ownership.owner === 'foreign') return;
    try {
      const compared = await this.#compared();
      await noticeSetBack(
        [...after.values()].filter(({ name }) => !before.has(name)),
        compared,
      );
      await reconcile(taken, began.at, compared);
      // Nothing is changed unasked while another machine writes there.
      if (!this.#timer || this.writing.isStopped || this.lifecycleDays !== null) return;
      for (const { name, manifest } of saidHereAlone(compared.here, after))
        await this.#changeThere(name, manifest, this.writing.request());
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code !== 'ABORTED')
        this.#options.log('warn', `${this.#word} was not compared with the folder: ${known.message}.`);
    }
  }

  async #compared(): Promise<Compared> {
    const { catalog, self, now, log, madeSince } = this.#options;
    return {
      ...{ word: this.#word, state: this.#state, catalog, log, madeSince, now: now() },
      ...{ self: self(), ownership: this.ownership, lifecycleDays: this.lifecycleDays },
      here: await this.#ownHere(),
      onExpired: (name) => this.#noteRemoved(name, BY_BUCKET),
    };
  }

  #reportUnnamed(unnamed: readonly string[]): void {
    this.#options.log(
      'warn',
      `${unnamed.length} files on ${this.#word} have the name of a backup but no manifest (${unnamed[0]}); they stay as they are.`,
    );
  }

  #tick(): void {
    this.downloads.sweep();
    const isDue = Math.abs(this.#options.now().getTime() - this.#triedMs) >= LIST_EVERY_MS;
    if (isDue && this.#options.isEnabled()) void this.#refreshQuietly();
  }

  /** First what is there, so that nothing is uploaded twice; then what waits. */
  async #catchUp(): Promise<void> {
    await this.#refreshQuietly();
    await this.uploads.run();
  }

  async #refreshQuietly(): Promise<void> {
    const before = this.#known.listError?.code;
    try {
      await this.refresh();
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code === 'ABORTED' || known.code === before) return;
      this.#options.log('warn', `${this.#word} could not be listed: ${known.message}. ${known.hint}`);
    }
    // A folder that can't be listed is told by the run that needs it.
    const waiting = await this.uploads.waiting().catch(() => []);
    if (this.#timer && waiting.length > 0 && this.#state.waiting.nextTryAt === null) void this.uploads.run();
  }

  /** Says who removes copies there, if we do not. */
  get removal(): string {
    return `removal is left to the bucket, after ${this.lifecycleDays} days`;
  }

  /** What retention would do with what is there now. */
  async plan(
    policy: RetentionPolicy,
    options: { readonly now: Date; readonly hold: string | null },
  ): Promise<RetentionPlan<RemoteCandidate>> {
    await this.refresh();
    const { sparesAllBut } = this.writing;
    const pins = await pinsOf(this.#options.catalog);
    const hold = this.lifecycleDays === null ? (options.hold ?? (this.setBack && HELD_SET_BACK)) : this.removal;
    return planRemoteRetention(this.backups, policy, {
      ...options,
      hold,
      pins,
      sparesAllBut,
      ownership: this.ownership,
    });
  }

  // ── change ──

  /** Carries retention out there; answers the names that were removed. Nothing while it is held back. */
  async prune(): Promise<readonly string[]> {
    const { catalog, self } = this.#options;
    const policy = this.#retention();
    if (policy === null) return [];
    const began = this.#known.begin();
    const done = await this.#job<'prune-remote'>({
      kind: 'prune-remote',
      folder: catalog.folder,
      ...this.access,
      ...this.writing.request(),
      retention: policy,
      known: this.#known.toKnow(this.identity),
      target: this.target,
      self: self(),
      identity: this.identity,
    });
    if (!this.#known.isStill(began)) return done.removed;
    this.#takePruned(done);
    await this.#applyListing(done.listing, began);
    return done.removed;
  }

  async #upload(backup: Backup): Promise<UploadOutcome> {
    const abort = new AbortController();
    const uploading = this.#carryOut(backup, abort.signal);
    this.#uploading = { name: backup.name, abort, ended: uploading.catch(() => {}) };
    try {
      return await uploading;
    } finally {
      this.#uploading = null;
    }
  }

  isUploading(name: string): boolean {
    return this.#uploading?.name === name;
  }

  /** Uploads what waits, that backup too; whether it is stored then. */
  async uploadNow(name: string): Promise<boolean> {
    this.#coming.add(name);
    // Behind others it is not on its way yet.
    const waiting = await this.uploads.waiting().catch(() => []);
    if (waiting.length > 1) this.#coming.delete(name);
    await this.uploads.run().finally(() => this.#coming.delete(name));
    return this.uploads.isStored(name);
  }

  /** Another process is uploading, the command line or the app; which backup it does not say. */
  isBusyElsewhere(): boolean {
    return this.#uploading === null && isLocked(join(this.#options.catalog.folder, uploadLock(this.target)));
  }

  /** Its upload is going, or the very next thing. */
  isComing(name: string): boolean {
    return this.#coming.has(name) || this.uploads.current === name;
  }

  async #carryOut(backup: Backup, signal: AbortSignal): Promise<UploadOutcome> {
    const { access, log, selfToWrite } = this.#options;
    this.writing.refuse();
    const began = this.#known.begin();
    const asked = {
      ...({ kind: 'upload', trigger: 'schedule', weights: { upload: 95, prune: 5 } } as const),
      ...{ backup: backup.name, sizeBytes: backup.sizeBytes, target: this.target },
      onFailed: (error: BackupError) => {
        if (error.code !== 'ABORTED')
          log('warn', `Not uploaded to ${this.#word}: ${backup.name}: ${error.message}. ${error.hint}`);
        return error;
      },
    };
    const done = await this.#options.runs.carry(asked, async (run) => {
      // Before anything is said of this installation.
      await selfToWrite();
      const uploaded = await this.#job<'upload'>(
        {
          kind: 'upload',
          target: this.target,
          folder: this.#options.catalog.folder,
          name: backup.name,
          ...this.access,
          ...this.writing.request(),
          sealing: access.sealing ?? PLAIN,
          retention: this.#retention(),
          known: this.#known.toKnow(this.identity),
          identity: this.identity,
        },
        { signal, onEvent: run.onEvent },
      );
      if (!this.#known.isStill(began)) {
        throw new BackupError('ABORTED', `the path on ${this.#word} was changed meanwhile`, {
          hint: 'It is uploaded there.',
        });
      }
      return uploaded;
    });
    log('info', `Uploaded to ${this.#word}: ${done.key}`);
    this.#takePruned(done);
    if (done.renumbered > 0) log('warn', this.#renumbered(done.renumbered));
    if (done.complaint) log('warn', `After the upload ${this.#word} could not be listed: ${done.complaint}.`);
    if (done.listing) {
      await this.#applyListing(done.listing, began);
      await this.#learnId(done.listing.identity);
    }
    return done.removed.includes(backup.name) ? { status: 'removed' } : { status: 'stored', sealing: done.sealing };
  }

  #renumbered(count: number): string {
    const which = count === 1 ? 'A backup that was not there yet got' : `${count} backups that were not there yet got`;
    return `${which} a higher number: ${this.#word} held higher ones than this machine knew.`;
  }

  /** From the first contact on, the id of the place is ours. */
  async #learnId({ record }: PlaceIdentity): Promise<void> {
    const { self, onFirstContact, log } = this.#options;
    if (record === null || this.ownership.owner !== 'ours' || idsOf(self()).includes(record.id)) return;
    try {
      await onFirstContact(record.id);
    } catch (error) {
      // The next upload tries again.
      log('warn', `The id of the database was not recorded: ${BackupError.from(error).message}.`);
    }
  }

  /** What to keep there; null while nothing may be removed. */
  #retention(): RetentionPolicy | null {
    return this.setBack || this.lifecycleDays !== null ? null : this.#options.retention();
  }

  #takePruned({ removed, survived }: Pick<Uploaded, 'removed' | 'survived'>): void {
    const { log } = this.#options;
    for (const name of removed) {
      log('info', `Removed from ${this.#word} by retention: ${name}`);
      this.#forget(name, BY_RETENTION);
      this.#options.onRemoved(name);
    }
    for (const { name, reason } of survived)
      log('warn', `Not removed from ${this.#word} by retention: ${name}: ${reason}.`);
  }

  /** Removed there: it is not uploaded again. */
  #forget(name: string, why: string): void {
    this.#noteRemoved(name, why);
    this.#known.forget(name);
  }

  #noteRemoved(name: string, why: string): void {
    this.#known.noteChanged(name);
    const at = this.#options.now();
    this.#state.setUpload({ backup: name, status: 'removed', at, why });
  }

  /**
   * Removes one backup there, verified; it is not uploaded again. An upload of it that is going is ended.
   *
   * @param why who removes it, as the end of a sentence: `by ada`.
   */
  async remove(name: string, why: string): Promise<void> {
    if (this.lifecycleDays !== null) throw leftToBucket(this.address);
    const before = this.uploadStates().get(name);
    if (this.#uploading?.name === name) {
      this.#noteRemoved(name, why);
      this.#uploading.abort.abort();
      await this.#uploading.ended;
    }
    try {
      await this.#job<'remove-remote'>({ kind: 'remove-remote', name, ...this.access });
    } catch (error) {
      // What of it is there is not known: the next upload looks.
      if (before === undefined) this.#state.forgetUpload(name);
      else this.#state.setUpload(before);
      throw error;
    }
    this.#forget(name, why);
  }

  /**
   * Makes this installation the writer there, because a person said that it is the same database; what waits is uploaded.
   *
   * @param claim what makes the place this database's; null if it is, or is of nobody.
   * @throws BackupError S3_*.
   */
  async claim(claim: JobMap['claim-remote']['request']['claim']): Promise<ClaimedRemote> {
    const { folder } = this.#options.catalog;
    const claimed = await this.#job<'claim-remote'>({
      ...{ kind: 'claim-remote', target: this.target, folder, claim },
      ...this.access,
      ...this.writing.request(),
    });
    this.writing.claimed();
    if (this.#timer) void this.uploads.run();
    return claimed;
  }

  /** What people say of a backup that is at S3 alone. */
  async change(name: string, change: Partial<Said>): Promise<void> {
    const manifest = this.#known.entries().get(name)?.manifest;
    if (this.lifecycleDays !== null) {
      throw new BackupError(
        'UNSUPPORTED',
        `the manifest of ${name} on ${this.#word} is written once, with its upload`,
        {
          hint: 'BACKUP_S3_RETENTION=bucket: nothing there is replaced. Pin or annotate the backup in the folder instead.',
        },
      );
    }
    if (!manifest) {
      throw new BackupError('BAD_BACKUP', `${name} has no readable manifest on ${this.#word}`, {
        hint: `Look at it in the ${this.words.noun}.`,
      });
    }
    const { pinned = manifest.pinned, note = manifest.note, loss = manifest.loss } = change;
    await this.#changeThere(name, { pinned, note, loss });
    await this.refresh();
  }

  /** @param asWriter left out for what a person asked for. */
  async #changeThere(name: string, { pinned, note, loss }: Said, asWriter: WritingRequest = {}): Promise<void> {
    const said = { pinned, note, ...(loss && { loss }) };
    const where = { folder: this.#options.catalog.folder, target: this.target };
    await this.#job<'change-remote'>({ kind: 'change-remote', name, ...where, ...this.access, ...asWriter, ...said });
    this.#known.noteChanged(name);
    // Read anew at the next listing, whatever its ETag.
    const known = this.#known.entries().get(name);
    if (known?.manifest) this.#known.replace({ ...known, etag: '', manifest: { ...known.manifest, ...said } });
  }

  /** What a check of the copy at S3 found. */
  recordVerification(name: string, verification: Manifest['verification'], facts: Manifest['facts'] | null): void {
    const entry = this.#known.entries().get(name);
    if (!entry) return;
    const manifest = entry.manifest && facts ? { ...entry.manifest, facts } : entry.manifest;
    this.#known.replace({ ...entry, manifest, verification });
    this.#options.onChange();
  }

  // ── what the stories need ──

  get #word(): string {
    return targetWord(this.target);
  }

  /** Ends with `stop`, or with the caller's own signal. */
  async #job<Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    { signal, onEvent }: Pick<FetchOptions, 'signal' | 'onEvent'> = {},
  ): Promise<JobMap[Kind]['result']> {
    const abort = new AbortController();
    const stop = () => abort.abort();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) abort.abort();
    this.#aborts.add(abort);
    try {
      return await this.#options.job<Kind>(request, {
        signal: abort.signal,
        onEvent: (event) => (event.type === 'writer' ? this.writing.onEvent(event.news) : onEvent?.(event)),
      });
    } finally {
      this.#aborts.delete(abort);
      signal?.removeEventListener('abort', stop);
    }
  }
}

const BY_BUCKET = 'by a rule of the bucket';

const HELD_SET_BACK = 'held: this machine was set back to an older image, or there is a clone of it';
