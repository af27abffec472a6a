/**
 * The checkpoints of a followed log. The pin moves to its end, what lies before is merged, and no writer waits. If none
 * committed meanwhile, a pin that is taken then has no mark in the log, and the next write begins it anew.
 *
 * Beside writers that leave no such gap the log grows. Once it is long, writers are held off for the moment that the rest
 * takes, and for no more: an app without a busy timeout fails in it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { isAllMerged } from '../sqlite/wal-index.ts';
import type { Capture } from './capture.ts';
import type { LogLimits } from './log-limits.ts';

/** As often as SQLite itself does by default. https://sqlite.org/pragma.html#pragma_wal_autocheckpoint */
const FRAMES_MIN = 1_000;
/** So much is merged while writers wait, and no more. */
const FRAMES_IN_BARRIER_MAX = 50;
const BARRIER_FROM_BYTES = 64 * 1024 * 1024;
const GAPS_TRIED_MAX = 12;
/** With more left, no gap will be found. */
const FRAMES_NEAR_END = 500;
const ROUNDS_MAX = 5;
/** A reader that stays, or a writer that never rests: then not at each look. */
const RETRY_MS = 10_000;
const END_TRIES_MAX = 3;
const END_RETRY_MS = 50;

export class Checkpoints {
  readonly #database: FollowedDatabase;
  readonly #capture: Capture;
  readonly #limits: Pick<LogLimits, 'refuseLong'>;
  #notBeforeMs = 0;
  /** Frames when it was tried last in vain. */
  #triedFrames = 0;
  /** The end of the log for which the pin stands aside. */
  #asideAt = '';

  constructor(database: FollowedDatabase, capture: Capture, limits: Pick<LogLimits, 'refuseLong'>) {
    this.#database = database;
    this.#capture = capture;
    this.#limits = limits;
  }

  /** To be called when all is captured. */
  async look(signal?: AbortSignal): Promise<void> {
    const { frames } = this.#database.index();
    if (frames < FRAMES_MIN) return;
    const isSoon = performance.now() < this.#notBeforeMs && frames < this.#triedFrames + FRAMES_MIN;
    if (isSoon) return;
    const isNearEnd = (await this.#merge(signal)) <= FRAMES_NEAR_END;
    const byGap = isNearEnd && (await this.#findGap(signal));
    await this.#capture.capture(signal);
    const isLong = this.#database.index().frames * this.#database.pageSize > BARRIER_FROM_BYTES;
    if (byGap || (isNearEnd && isLong && this.#capture.drain(FRAMES_IN_BARRIER_MAX)?.isDrained)) {
      this.#triedFrames = 0;
      this.#notBeforeMs = 0;
    } else {
      this.#triedFrames = frames;
      this.#notBeforeMs = performance.now() + RETRY_MS;
    }
    await this.#capture.capture(signal);
  }

  /**
   * To be called when nothing is new. A checkpoint of the app's own that waits for its readers holds all writers up meanwhile:
   * until our pin is at the end of the log, and once all is merged, until it is out of it.
   *
   * @returns whether the pin was moved.
   */
  async standAside(signal?: AbortSignal): Promise<boolean> {
    const index = this.#database.index();
    const place = [index.salts, index.frames, isAllMerged(index)].join(' ');
    if (place === this.#asideAt) return false;
    const isMoved = this.#capture.movePin();
    await this.#capture.capture(signal);
    if (isMoved) this.#asideAt = place;
    return true;
  }

  /** Takes a pin just when all is merged. @returns false beside writers that leave no gap. */
  async #findGap(signal?: AbortSignal): Promise<boolean> {
    for (let tries = 0; tries < GAPS_TRIED_MAX; tries++) {
      await this.#movePin(signal);
      if (!isAllMerged(this.#database.index())) this.#database.checkpoint();
      if (!isAllMerged(this.#database.index())) continue;
      await this.#movePin(signal);
      if (isAllMerged(this.#database.index())) return true;
    }
    return false;
  }

  /** @returns how many frames are left. Beside a writer that is faster than we are it gives up. */
  async #merge(signal?: AbortSignal): Promise<number> {
    let left = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      // One long transaction is merged at once.
      if (round > 0) this.#limits.refuseLong();
      await this.#movePin(signal);
      this.#database.checkpoint();
      const { frames, mergedFrames } = this.#database.index();
      const isFaster = frames - mergedFrames > left / 2;
      left = frames - mergedFrames;
      if (left <= FRAMES_IN_BARRIER_MAX || isFaster) break;
    }
    return left;
  }

  /** What is read meanwhile becomes one segment at the end. */
  async #movePin(signal?: AbortSignal): Promise<void> {
    if (!this.#capture.movePin()) await this.#capture.capture(signal);
  }

  /** All of the log in the main file, at the end. @returns its stamp; null beside a writer that leaves no gap. */
  async drainForEnd(): Promise<string | null> {
    for (let tries = 0; tries < END_TRIES_MAX; tries++) {
      await this.#merge();
      await this.#capture.capture();
      // The clock of files goes on meanwhile, so that nobody has to wait for it while writers are held off.
      await sleep(END_RETRY_MS);
      let stamp: string | null = null;
      this.#capture.drain(0, () => {
        stamp = this.#database.settledStamp();
      });
      await this.#capture.capture();
      if (stamp !== null) return stamp;
    }
    return null;
  }
}
