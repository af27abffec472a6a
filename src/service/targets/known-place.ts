/**
 * What is known of the place that a target has now, between two looks: its copies as they were listed last, and what we
 * changed there since. At another place (the path may change) nothing is known until it is listed.
 */
import { type Backup, inOrder } from '../../engine/catalog/folder-catalog.ts';
import type { PlaceIdentity } from '../../engine/catalog/identity.ts';
import {
  type KnownManifest,
  type RemoteBackup,
  type RemoteListing,
  toRemoteBackup,
} from '../../engine/catalog/store-catalog.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import type { KnownRemote, TargetState } from '../state/target-state.ts';

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
  readonly state: TargetState;
  /** Names the place that the target has now. */
  readonly placeNow: () => string;
  readonly now: () => Date;
}

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

  /** Newest first. */
  get backups(): readonly RemoteBackup[] {
    return inOrder([...this.entries().values()].map(withCheck));
  }

  find(name: string): RemoteBackup | null {
    const entry = this.entries().get(name);
    return entry ? withCheck(entry) : null;
  }

  get listedAt(): Date | null {
    this.entries();
    return this.#listedAt;
  }

  /** Why it could not be listed. */
  get listError(): ErrorBody | null {
    return this.#listError;
  }

  failed(error: unknown): BackupError {
    const known = BackupError.from(error);
    if (known.code !== 'ABORTED') this.#listError = known.toJSON();
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
      const manifest = read.get(name) ?? (known?.etag === etag ? known.manifest : null);
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

  /** It is no longer there. */
  forget(name: string): void {
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
  toKnow(identity: PlaceIdentity | null): readonly KnownManifest[] {
    const hasRecord = identity?.record != null;
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

/** The target would not show its manifest just now: that says nothing of the copy. */
export function isUnread(entry: KnownRemote | undefined): boolean {
  return entry?.manifest === null && entry.etag === '';
}

/** A backup here whose copy there says the same of it. */
export function isStoredAs({ manifest }: Pick<Backup, 'manifest'>, entry: KnownRemote | undefined): boolean {
  return entry?.fault === null && manifest !== null && entry.manifest?.database.sha256 === manifest.database.sha256;
}
