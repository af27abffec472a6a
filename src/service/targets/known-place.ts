/**
 * What is known of the place that a target has now, between two looks: its copies as they were listed last, what we
 * changed there since, and whose it is. At another place (the path may change) nothing is known until it is listed.
 */
import { type Backup, inOrder } from '../../engine/catalog/folder-catalog.ts';
import { judgePlace, NO_IDENTITY, type Ownership, type PlaceIdentity } from '../../engine/catalog/identity.ts';
import {
  type KnownManifest,
  type RemoteBackup,
  type RemoteListing,
  toRemoteBackup,
} from '../../engine/catalog/store-catalog.ts';
import type { DatabaseSelf } from '../../engine/writer/self.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { TargetBackup } from '../backups/backup-item.ts';
import type { KnownRemote, SetBack, TargetState } from '../state/target-state.ts';

/** When a look began: what was changed since is not in it. */
export interface Began {
  readonly place: string;
  readonly at: Date;
  readonly changes: number;
}

/** What a listing changed. */
export interface Taken {
  readonly before: ReadonlyMap<string, KnownRemote>;
  readonly after: ReadonlyMap<string, KnownRemote>;
  /** True for what we changed there after the look began: the listing says nothing of it. */
  readonly isOutdated: (name: string) => boolean;
}

interface KnownPlaceOptions {
  readonly target: TargetName;
  readonly state: TargetState;
  /** Names the place that the target has now. */
  readonly placeNow: () => string;
  readonly now: () => Date;
}

/** After a week without an answer the machine goes on, and what is there counts as its own. */
const SET_BACK_MS = 7 * 24 * 3_600_000;

export class KnownPlace {
  readonly #options: KnownPlaceOptions;
  /** What is known of `#place`; undefined until it is asked for. */
  #known: ReadonlyMap<string, KnownRemote> | undefined;
  #listedAt: Date | null = null;
  #listError: ErrorBody | null = null;
  #place = '';
  /** Counts what we change there. */
  #changes = 0;
  readonly #changedAt = new Map<string, number>();

  constructor(options: KnownPlaceOptions) {
    this.#options = options;
    this.sync();
  }

  /** Forgets what is known of another place than the present one, and answers its name. */
  sync(): string {
    const { state, placeNow } = this.#options;
    const place = placeNow();
    if (place === this.#place) return place;
    this.#place = place;
    state.setPlace(place);
    this.#known = undefined;
    this.#listedAt = null;
    this.#listError = null;
    return place;
  }

  entries(): ReadonlyMap<string, KnownRemote> {
    this.sync();
    if (this.#known) return this.#known;
    const listing = this.#options.state.listing();
    this.#listedAt = listing?.listedAt ?? null;
    this.#known = new Map(listing?.backups.map((backup) => [backup.name, backup]));
    return this.#known;
  }

  /** What it held when it was listed last, newest first. */
  get backups(): readonly TargetBackup[] {
    const { target } = this.#options;
    const place = this.sync();
    return inOrder([...this.entries().values()].map(withCheck)).map((backup) => ({ ...backup, target, place }));
  }

  find(name: string): TargetBackup | null {
    const entry = this.entries().get(name);
    return entry ? { ...withCheck(entry), target: this.#options.target, place: this.#place } : null;
  }

  ownershipFor(self: DatabaseSelf): Ownership {
    return judgePlace('target', this.identity ?? NO_IDENTITY, self, [...this.entries().values()]);
  }

  /** Null if nobody ever looked. */
  get identity(): PlaceIdentity | null {
    this.sync();
    return this.#options.state.identity;
  }

  /** Notes what a claim of ours left there. */
  noteIdentity(identity: PlaceIdentity): void {
    this.sync();
    this.#options.state.identity = identity;
  }

  /** It holds backups that this installation made and does not remember: nothing is removed there for a week. */
  get setBack(): SetBack | null {
    this.sync();
    const { state, now } = this.#options;
    const { setBack } = state;
    return setBack && Math.abs(now().getTime() - setBack.at.getTime()) < SET_BACK_MS ? setBack : null;
  }

  /** A person said that this machine goes on from here. */
  answerSetBack(): void {
    this.sync();
    this.#options.state.setBack = null;
  }

  get listedAt(): Date | null {
    this.entries();
    return this.#listedAt;
  }

  /** Why it could not be listed. */
  get listError(): ErrorBody | null {
    return this.#listError;
  }

  failed(error: unknown, began: Began): BackupError {
    const known = BackupError.from(error);
    if (known.code !== 'ABORTED' && this.isStill(began)) this.#listError = known.toJSON();
    return known;
  }

  begin(): Began {
    return { place: this.sync(), at: this.#options.now(), changes: this.#changes };
  }

  /** False if the path was changed meanwhile. */
  isStill({ place }: Began): boolean {
    return place === this.sync();
  }

  /** Takes a new listing over; null if it is of another place. */
  take(listing: RemoteListing, began: Began): Taken | null {
    if (!this.isStill(began)) return null;
    const { state, now } = this.#options;
    const isOutdated = (name: string) => (this.#changedAt.get(name) ?? 0) > began.changes;
    const before = this.entries();
    const read = new Map(listing.read.map((manifest) => [manifest.name, manifest]));
    const after = new Map<string, KnownRemote>();
    const changed: KnownRemote[] = [];
    for (const [name, known] of before) if (isOutdated(name)) after.set(name, known);
    for (const { name, etag, fault, archive } of listing.entries) {
      if (isOutdated(name)) continue;
      const known = before.get(name);
      const isLike = known !== undefined && known.fault === fault && (known.archive ?? null) === (archive ?? null);
      const isSame = isLike && known.etag === etag && etag !== '';
      // What was not read this time is not another one for that.
      const isAsKnown = etag === '' || known?.etag === etag;
      const manifest = read.get(name) ?? (isAsKnown && known ? known.manifest : null);
      // A pin or a note changes the manifest, not what was checked.
      const isChecked = manifest !== null && known?.manifest?.artifact.sha256 === manifest.artifact.sha256;
      const verification = isChecked ? known.verification : null;
      const entry = isSame ? known : { name, etag, manifest, fault, archive, verification };
      after.set(name, entry);
      if (!isSame) changed.push(entry);
    }
    const gone = [...before.keys()].filter((name) => !after.has(name));
    this.#known = after;
    this.#listedAt = now();
    this.#listError = null;
    state.saveListing(this.#listedAt, { changed, gone });
    state.identity = listing.identity;
    return { before, after, isOutdated };
  }

  /** We changed it there: a look that began before knows nothing of it. */
  noteChanged(name: string): void {
    this.#changedAt.set(name, ++this.#changes);
  }

  /** Removed there, or about to be: it is not uploaded again. @param why the end of a sentence: `by ada`. */
  noteRemoved(name: string, why: string): void {
    const { state, now } = this.#options;
    this.noteChanged(name);
    state.setUpload({ backup: name, status: 'removed', at: now(), why });
  }

  /** It is no longer there. */
  removed(name: string, why: string): void {
    this.noteRemoved(name, why);
    const known = new Map(this.entries());
    if (known.delete(name)) this.#keep(known, { changed: [], gone: [name] });
  }

  /** It is another one than it was listed. */
  replace(entry: KnownRemote): void {
    this.#keep(new Map(this.entries()).set(entry.name, entry), { changed: [entry], gone: [] });
  }

  #keep(
    known: ReadonlyMap<string, KnownRemote>,
    change: { readonly changed: readonly KnownRemote[]; readonly gone: readonly string[] },
  ): void {
    this.#known = known;
    this.#options.state.saveListing(this.#listedAt ?? this.#options.now(), change);
  }

  /** What a job need not read again. */
  toKnow(): readonly KnownManifest[] {
    const hasRecord = this.identity?.record != null;
    return [...this.entries().values()].flatMap((entry) => {
      const { etag } = entry;
      const { manifest } = withCheck(entry);
      if (etag === '' || !manifest) return [];
      // What planning does not need of it would travel to each job.
      const { facts, copy, stamp, versions, ...needed } = manifest;
      return { etag, manifest: hasRecord ? needed : { ...needed, stamp } };
    });
  }
}

/** A check that we made of the copy there counts instead of the one from before its upload. */
export function withCheck(entry: KnownRemote): RemoteBackup {
  const { manifest, verification } = entry;
  return toRemoteBackup(manifest && verification ? { ...entry, manifest: { ...manifest, verification } } : entry);
}

/** The target would not show its manifest just now: that says nothing of the copy, and what was known of it counts. */
export function isUnread(entry: KnownRemote | undefined): boolean {
  return entry !== undefined && entry.fault !== null && entry.etag === '';
}

/** A backup here whose copy there says the same of it. */
export function isStoredAs({ manifest }: Pick<Backup, 'manifest'>, entry: KnownRemote | undefined): boolean {
  return entry?.fault === null && manifest !== null && entry.manifest?.database.sha256 === manifest.database.sha256;
}
