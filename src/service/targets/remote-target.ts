/**
 * One target beside the folder: its rooms, and their life with the service. `known` and `listings` say what is there,
 * `uploads` and `downloads` carry backups, `retention` and `changes` remove and annotate, `writing` says who writes there.
 *
 * A look at the list never waits for the target: the last listing answers at once. It is renewed with each upload, at the
 * start, and every quarter of an hour.
 */
import type { Ownership, PlaceIdentity } from '../../engine/catalog/identity.ts';
import type { ShipTarget } from '../../engine/replication/shipper.ts';
import type { StoreWords } from '../../engine/store/store.ts';
import { BackupError } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { TargetBackup } from '../backups/backup-item.ts';
import type { ServiceContext } from '../context.ts';
import { Downloads } from './downloads.ts';
import type { KnownPlace } from './known-place.ts';
import { Listings } from './listings.ts';
import { TargetChanges } from './target-changes.ts';
import { type TargetChoice, TargetContext, type TargetParts } from './target-context.ts';
import { TargetRetention } from './target-retention.ts';
import type { TargetSetup } from './targets.ts';
import { Uploads } from './uploads.ts';
import type { Writing } from './writing.ts';

const LIST_EVERY_MS = 15 * 60_000;

const TICK_MS = 30_000;

export class RemoteTarget {
  readonly target: TargetName;
  readonly known: KnownPlace;
  readonly writing: Writing;
  readonly listings: Listings;
  readonly retention: TargetRetention;
  readonly uploads: Uploads;
  readonly changes: TargetChanges;
  readonly downloads: Downloads;
  readonly #context: TargetContext;
  #timer: NodeJS.Timeout | undefined;

  constructor(service: ServiceContext, choice: TargetChoice, parts: TargetParts) {
    const context = new TargetContext(service, choice, parts, () => void this.#catchUp());
    const { target, known, writing } = context;
    this.#context = context;
    this.target = target;
    this.known = known;
    this.writing = writing;
    this.listings = new Listings(context, (news) => void this.uploads.targetAnswers(news));
    this.retention = new TargetRetention(context, this.listings);
    this.uploads = new Uploads(context, { listings: this.listings, retention: this.retention });
    this.changes = new TargetChanges(context, { listings: this.listings, uploads: this.uploads });
    this.downloads = new Downloads({
      ...{ folder: service.catalog.folder, target, isSealed: this.isSealed },
      sizeOf: (name) => known.entries().get(name)?.manifest?.database.sizeBytes ?? null,
      fetch: async (request, given) => {
        const { lockMs: lockWaitMs } = service.waits;
        await context.job<'fetch'>({ kind: 'fetch', ...request, ...context.access, target, lockWaitMs }, given);
      },
    });
  }

  get isEnabled(): boolean {
    return this.#context.isEnabled;
  }

  get words(): StoreWords {
    return this.#context.words;
  }

  get lifecycleDays(): number | null {
    return this.#context.lifecycleDays;
  }

  get removal(): string {
    return this.#context.removal;
  }

  /** Copies there are encrypted from now on. */
  get isSealed(): boolean {
    return (this.#context.choice.access.sealing?.recipients.length ?? 0) > 0;
  }

  get ownership(): Ownership {
    return this.#context.ownership;
  }

  get address(): string {
    return this.#context.address;
  }

  get access(): { readonly prefix: string; readonly access: TargetSetup } {
    return this.#context.access;
  }

  /** What a status says of the place. */
  get shown(): { readonly bucket: string | null; readonly path: string; readonly where: string } {
    const { prefix, access } = this.access;
    const bucket = access.kind === 's3' ? access.bucket : null;
    return { bucket, path: bucket === null ? this.address : prefix, where: this.address };
  }

  get backups(): readonly TargetBackup[] {
    return this.known.backups;
  }

  find(name: string): TargetBackup | null {
    return this.known.find(name);
  }

  /** @throws BackupError S3_* */
  async refresh(): Promise<void> {
    await this.listings.refresh();
  }

  /** What the replicator is told, to copy captured commits there. */
  shipTarget(): ShipTarget {
    const { prefix, access } = this.access;
    const { sealing, keep: _keep, retentionCount: _count, ...reached } = access;
    const recipients = sealing?.recipients ?? [];
    return { name: this.target, access: reached, prefix, recipients, writer: this.writing.request() };
  }

  /** Whose the place is, as it was read before commits were copied there. */
  async seenBefore(identity: PlaceIdentity): Promise<void> {
    this.known.noteIdentity(identity);
    await this.#context.learnId(identity);
  }

  // ── life ──

  start(): void {
    this.#context.allowJobs();
    this.uploads.resume();
    this.writing.start();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
    if (this.isEnabled) void this.#catchUp();
  }

  /**
   * Resolves when its jobs have ended; a download that is cut goes on at the next call.
   *
   * @param others who write there, too: the place is given back when they have ended.
   */
  async stop(others: Promise<unknown> = Promise.resolve()): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#context.abortJobs();
    await Promise.allSettled([this.uploads.stop(), this.downloads.idle(), this.listings.idle(), others]);
    // The last one to write has ended.
    await this.writing.release();
    // Stopped is not closed: by hand it still works.
    this.#context.allowJobs();
  }

  close(): void {
    this.downloads.close();
    this.#context.state.close();
  }

  /** S3 was switched on or off, or another path was set. */
  settingsChanged(): void {
    this.known.sync();
    this.writing.settingsChanged();
    // Without the target nothing is tried, and nobody is told of a next try.
    if (!this.isEnabled) void this.uploads.run();
    else if (this.#timer) void this.#catchUp();
  }

  /** A pin or a note was changed here. */
  backupChanged(): void {
    if (this.#timer && this.isEnabled) void this.#look();
  }

  #tick(): void {
    this.downloads.sweep();
    const isDue = Math.abs(this.#context.service.now().getTime() - this.listings.triedMs) >= LIST_EVERY_MS;
    if (isDue && this.isEnabled) void this.#look();
  }

  /** First what is there, so that nothing is uploaded twice; then what waits. */
  async #catchUp(): Promise<void> {
    await this.#look();
    await this.uploads.run();
  }

  /** Never rejects: what fails is logged once, and tried again. */
  async #look(): Promise<void> {
    const before = this.known.listError?.code;
    try {
      await this.refresh();
    } catch (error) {
      const { code, message, hint } = BackupError.from(error);
      if (code === 'ABORTED' || code === before) return;
      this.#context.service.log('warn', `${this.#context.word} could not be listed: ${message}. ${hint}`);
    }
  }
}
