/**
 * How long the app's log may become while it is followed. The app never pays for a stream that is stuck: past its limit, and
 * before its disk is full, the pin is let go.
 */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import { DISK_RESERVE_BYTES } from '../disk/share.ts';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { isAllMerged } from '../sqlite/wal-index.ts';
import { whoHasOpen } from '../sqlite/open-files.ts';

const LOG_BYTES_LEAST = 64 * 1024 * 1024;
/** A log that grew so many times beyond its limit is let go. */
const LET_GO_FACTOR = 4;

export class LogLimits {
  readonly #database: FollowedDatabase;
  readonly #whoHasOpen: typeof whoHasOpen;
  /** As it was told first: it stays one warning, however long the log becomes. */
  #warning: string | null = null;

  constructor(database: FollowedDatabase, asked = whoHasOpen) {
    this.#database = database;
    this.#whoHasOpen = asked;
  }

  /** @throws BackupError LOG_TOO_LONG, DISK_FULL: the pin is to be let go. */
  look(): { readonly logBytes: number; readonly warning: string | null } {
    const logBytes = this.#refuseFullDisk();
    const limitBytes = this.#limitBytes(logBytes);
    if (logBytes > LET_GO_FACTOR * limitBytes) throw this.#tooLong(logBytes);
    this.#warning = logBytes > limitBytes ? (this.#warning ?? this.#warn()) : null;
    return { logBytes, warning: this.#warning };
  }

  #warn(): string {
    const by = this.#whoHasOpen(this.#database.path).by.map(({ pid, name }) => `${name} (${pid})`);
    const who = by.length === 0 ? 'a process that is not seen from here' : by.join(', ');
    return `The log of the database is long: a reader that stays keeps it from being merged. It is open in ${who}.`;
  }

  /** A quarter of the database as it is now. Its pages are only counted when they matter. */
  #limitBytes(logBytes: number): number {
    if (logBytes <= LOG_BYTES_LEAST) return LOG_BYTES_LEAST;
    const { pinnedPages, pageSize } = this.#database;
    return Math.max(LOG_BYTES_LEAST, (pinnedPages * pageSize) / 4);
  }

  /** @throws BackupError LOG_TOO_LONG */
  refuseLong(): void {
    const logBytes = this.#refuseFullDisk();
    if (logBytes <= LET_GO_FACTOR * this.#limitBytes(logBytes)) return;
    throw this.#tooLong(logBytes);
  }

  #refuseFullDisk(): number {
    const index = this.#database.index();
    const { bavail, bsize } = statfsSync(dirname(this.#database.path));
    const freeBytes = Number(bavail) * Number(bsize);
    // What is merged is written over by the next commit: one long transaction is no reader that stays.
    const frames = isAllMerged(index) ? 0 : index.frames;
    if (freeBytes >= DISK_RESERVE_BYTES) return frames * this.#database.pageSize;
    throw new BackupError('DISK_FULL', `the disk with ${this.#database.path} is nearly full, so its log is let go`, {
      hint: 'Free space on that disk. The stream then goes on by itself; commits of the time between are captured as one moment.',
    });
  }

  #tooLong(logBytes: number): BackupError {
    this.#database.shorten();
    return new BackupError(
      'LOG_TOO_LONG',
      `the log of ${this.#database.path} has ${megabytes(logBytes)} and was let go`,
      {
        hint: 'A reader stays in it: end the process that keeps a transaction open. The stream then goes on by itself; commits of the time between are captured as one moment.',
      },
    );
  }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_000_000)} MB`;
}
