/** What each kind of target answers for itself; `kinds.ts` is the table of them. */
import type { KitPart } from './kit.ts';
import type { TestedTarget } from './self-test-checks.ts';
import type { ObjectStore, StoreWords } from './store.ts';

/** The store of one target, below its prefix. */
export interface TargetStore extends ObjectStore {
  /** The whole place, over the same connection and closed with it: for keys that are named from there. */
  readonly root: ObjectStore;
  /**
   * Removes what killed uploads left unfinished, where that is in no listing of objects. Answers how much; null if it
   * could not.
   */
  sweepUploads(options: SweepUnfinished): Promise<number | null>;
}

export interface SweepUnfinished {
  readonly olderThan: Date;
  readonly isOurs: (key: string) => boolean;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  /** For a small request beside others: few tries, short waits. */
  readonly isQuick?: boolean;
}

export interface Surroundings {
  readonly databasePath: string;
  /** Buckets that a CDN serves, and folders that are served. */
  readonly publicBuckets: readonly string[];
  readonly publicFolders: readonly string[];
}

export interface Risks {
  /** The server, where it is asked over plain http and is not this machine. */
  readonly plainHost: string | null;
  /** The app's own files lie there too, and they are served. */
  readonly isAlsoPublic: boolean;
  /** What is lost with the disk of the database is lost there too. */
  readonly isOnSameDisk: boolean;
}

/** @template Access all that a store of this kind needs but its prefix, which may be empty. */
export interface Kind<Access> {
  readonly words: StoreWords;
  open(access: Access, prefix: string, options?: OpenOptions): TargetStore;
  /** One form of the address, however it was written: two targets with the same are one place. */
  addressOf(access: Access, prefix: string): string;
  /** One for all names of one place, as far as they can be told now: a folder may have several. */
  identityOf(access: Access, prefix: string): string;
  /** Under which name the state keeps what is known of the place. */
  stateKeyOf(access: Access, prefix: string): string;
  /** How people read it, such as `s3://bucket/path`. */
  whereOf(access: Access, prefix: string): string;
  /** What all prefixes have in common, for a sentence: `bucket my-backups`. */
  wholeOf(access: Access): string;
  /** Two with the same word can share one connection, the rights that it has included. */
  connectionOf(access: Access): string;
  /** What is wrong with the settings, before anything is asked of the target. */
  faultOf(
    access: Access,
    prefix: string,
    backupsPath: string | undefined,
  ): { readonly what: string; readonly hint: string } | null;
  /** Days after which the place itself removes an object; null if we remove what retention does not keep. */
  lifecycleDaysOf(access: Access): number | null;
  /** How long a read of an object of that class has to wait; null if it has not. */
  archiveHoursOf(access: Access, storageClass: string | null | undefined): string | null;
  /** What the doctor must know without asking the target. */
  risksOf(access: Access, surroundings: Surroundings): Risks;
  readonly kit: KitPart<Access>;
  test(access: Access, prefix: string): TestedTarget;
}
