/**
 * Backups that come back from S3 as plain databases, each by a job that checks it all over: as a new file somewhere, or
 * in a hidden folder beside the backups, where a plan and its restore find it without a second download.
 */
import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { parseIdentities } from '../../engine/format/age.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { FetchRequest } from '../../engine/stories/fetch.ts';
import type { JobEvent } from '../../words/story.ts';

interface DownloadsOptions {
  /** The backup folder. */
  readonly folder: string;
  readonly target: TargetName;
  /** Answers the size of the database that a backup at S3 becomes; null when that is not known. */
  readonly sizeOf: (name: string) => number | null;
  /** Copies there are encrypted. */
  readonly isSealed: boolean;
  readonly fetch: (
    request: Pick<FetchRequest, 'name' | 'to' | 'staging' | 'identities' | 'refusePlain'>,
    options: Pick<FetchOptions, 'signal' | 'onEvent'>,
  ) => Promise<void>;
}

export interface FetchOptions {
  /** The text of an identity file of age. */
  readonly identity?: string;
  /** Takes a copy that is not encrypted also where copies are to be; else PLAIN_COPY. */
  readonly allowPlain?: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: JobEvent) => void;
}

/** Hidden beside the backups: what came back, and downloads that are not complete. */
const FETCHED_FOLDER = '.fetched';
/** Between the plan of a restore and the restore itself a person may go for coffee. */
const KEPT_MS = 3_600_000;

export class Downloads {
  readonly #options: DownloadsOptions;
  readonly #folder: string;
  readonly #going = new Map<string, Promise<string>>();
  /** Whole databases that this process fetched. */
  readonly #fetched = new Set<string>();

  constructor(options: DownloadsOptions) {
    this.#options = options;
    const { folder, target } = options;
    // A check of one target's copy must not meet what another's left.
    this.#folder = join(folder, target === 's3' ? FETCHED_FOLDER : `${FETCHED_FOLDER}-${target}`);
  }

  /** @throws BackupError as `fetchBackup` does; then nothing was placed. */
  async fetchTo(name: string, to: string, options: FetchOptions = {}): Promise<void> {
    await this.#fetch(name, { to, staging: null }, options);
  }

  /**
   * Its path in the hidden folder. Who asks at the same time shares one job.
   *
   * @param options.anew prove the copy at S3 instead of taking what is here.
   */
  async fetchHere(name: string, options: FetchOptions & { readonly anew?: boolean } = {}): Promise<string> {
    const folder = this.#folderFor(options);
    const path = join(folder, name);
    const going = this.#going.get(path);
    if (going) return await going;
    if (!options.anew && this.#isHere(path, name)) return keepLonger(path);
    rmSync(path, { force: true });
    const fetching = this.#fetch(name, { to: path, staging: folder }, options)
      .then(() => {
        this.#fetched.add(path);
        return keepLonger(path);
      })
      .finally(() => this.#going.delete(path));
    this.#going.set(path, fetching);
    return await fetching;
  }

  /** Removes what nobody asked for any more, as far as it may. What is not complete is the next download's to clear. */
  sweep(): void {
    if (this.#going.size > 0) return;
    for (const folder of [this.#folderFor({}), this.#folderFor({ allowPlain: true })]) this.#sweep(folder);
  }

  #sweep(folder: string): void {
    try {
      for (const entry of readdirSync(folder)) {
        const path = join(folder, entry);
        const askedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
        if (entry.endsWith('.sqlite') && Date.now() - askedMs > KEPT_MS) rmSync(path, { force: true });
      }
    } catch {
      // There is none, or another user's command made it: it is that one's to clear.
    }
  }

  /** Resolves when nothing is fetched to the hidden folder. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#going.values());
  }

  close(): void {
    for (const path of this.#fetched) rmSync(path, { force: true });
  }

  /** What was taken on purpose is not there for whoever did not ask for it. */
  #folderFor({ allowPlain = false }: FetchOptions): string {
    return allowPlain && this.#options.isSealed ? `${this.#folder}-plain` : this.#folder;
  }

  #isHere(path: string, name: string): boolean {
    const found = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && found.size === this.#options.sizeOf(name);
  }

  async #fetch(
    name: string,
    { to, staging }: Pick<FetchRequest, 'to' | 'staging'>,
    options: FetchOptions,
  ): Promise<void> {
    const { identity, signal, onEvent } = options;
    const identities = identity === undefined ? [] : parseIdentities(identity);
    const refusePlain = this.#options.isSealed && !options.allowPlain;
    await this.#options.fetch({ name, to, staging, identities, refusePlain }, { signal, onEvent });
  }
}

/** Its time is when it was asked for last. */
function keepLonger(path: string): string {
  utimesSync(path, new Date(), new Date());
  return path;
}
