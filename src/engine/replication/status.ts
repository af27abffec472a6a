/**
 * What a replicator tells about one database: to its owner, and by a file beside the stream to other processes. The file is
 * written when there is news, never only as a sign of life: that is the lock.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ErrorBody, errnoCode } from '../../words/errors.ts';
import { writePrivateJson } from '../disk/private-json.ts';
import type { Shipped } from './shipper.ts';

const FILE = 'status.json';

export interface StreamStatus {
  /**
   * - `starting`: the position is being proven, or the first image made;
   * - `capturing`: every commit is captured within an interval;
   * - `paused`: it rests, see `pause`;
   * - `waiting`: `error` says why, and it is tried again.
   */
  readonly phase: 'starting' | 'capturing' | 'paused' | 'waiting';
  /** The newest captured moment; null before the first. */
  readonly bookmark: string | null;
  readonly at: string | null;
  /** The oldest moment that can be restored. */
  readonly oldestAt: string | null;
  /** When all that was committed was captured, seen by a look; null before the first. */
  readonly caughtUpAt: string | null;
  readonly sizeBytes: number;
  /** Bytes of the app's log, 0 once all of it is merged; it is long while a reader stays in it. */
  readonly logBytes: number;
  readonly pause: { readonly reason: 'asked' | 'restore' | 'replaced'; readonly since: string } | null;
  readonly error: ErrorBody | null;
  /** What the witness found: the live file, or the stream, is not what was committed. */
  readonly untrue: { readonly at: 'file' | 'stream'; readonly since: string; readonly error: ErrorBody } | null;
  /** The damaged page of the live file, and which file that was: it is looked at until it is true again. */
  readonly damage: { readonly page: number; readonly file: string; readonly error: ErrorBody } | null;
  /** What should be known and stops nothing, in whole sentences. */
  readonly warnings: readonly string[];
  /** What each target holds; none while nothing is shipped. */
  readonly targets: readonly Shipped[];
  /** The last time that the log could not be proven to go on. */
  readonly rebased: { readonly at: string; readonly reason: string; readonly pages: number } | null;
}

export function writeStatus(folder: string, status: StreamStatus): void {
  writePrivateJson(join(folder, FILE), status, { isFlushed: false });
}

/** As it was written last; null where nothing can be read. */
export function readStatus(folder: string): StreamStatus | null {
  try {
    const status = JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as StreamStatus; // written by us
    // A start goes on behind that moment.
    return status.bookmark === null || /^[0-9a-f]{16}$/.test(status.bookmark) ? status : null;
  } catch {
    return null;
  }
}

const UNTRUE = 'untrue-backup.json';

/** Told through restarts until a later backup is what was captured, or this one is removed. */
interface UntrueBackup {
  readonly name: string;
  /** One sentence. */
  readonly text: string;
}

/** @throws BackupError; system errors. */
export function noteUntrueBackup(folder: string, untrue: UntrueBackup | null): void {
  if (untrue === null) rmSync(join(folder, UNTRUE), { force: true });
  else writePrivateJson(join(folder, UNTRUE), untrue);
}

/** The sentence; null where there is nothing to tell. */
export function untrueBackupText(folder: string): string | null {
  try {
    const { name, text } = JSON.parse(readFileSync(join(folder, UNTRUE), 'utf8')) as UntrueBackup; // written by us
    return existsSync(join(dirname(folder), name)) ? text : null;
  } catch (error) {
    // A note that can't be read is no good news.
    return errnoCode(error) === 'ENOENT' ? null : 'A backup and a captured moment are to be the same, and are not.';
  }
}
