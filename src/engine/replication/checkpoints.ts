/**
 * The checkpoints of a followed log. The pin moves to its end, what lies before is merged, and no writer waits; once little
 * is left, writers are held off for the moment that the rest takes, so that the next write begins the log anew.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import type { Capture } from './capture.ts';

/** As often as SQLite itself does by default. https://sqlite.org/pragma.html#pragma_wal_autocheckpoint */
const FRAMES_MIN = 1_000;
/** So much is merged while writers wait, and no more. */
const FRAMES_IN_BARRIER_MAX = 50;
const ROUNDS_MAX = 5;
/** A reader that stays, or a writer that never rests: then not at each look. */
const RETRY_MS = 10_000;
const END_TRIES_MAX = 10;
const END_RETRY_MS = 50;

export class Checkpoints {
  readonly #database: FollowedDatabase;
  readonly #capture: Capture;
  #notBeforeMs = 0;
  /** Frames when it was tried last in vain. */
  #triedFrames = 0;

  constructor(database: FollowedDatabase, capture: Capture) {
    this.#database = database;
    this.#capture = capture;
  }

  /** To be called when all is captured. */
  async look(signal?: AbortSignal): Promise<void> {
    const { frames } = this.#database.index();
    if (frames < FRAMES_MIN) return;
    const isSoon = performance.now() < this.#notBeforeMs && frames < this.#triedFrames + FRAMES_MIN;
    if (isSoon) return;
    await this.#merge(signal);
    if (this.#capture.drain()?.isDrained) {
      this.#triedFrames = 0;
      this.#notBeforeMs = 0;
    } else {
      this.#triedFrames = frames;
      this.#notBeforeMs = performance.now() + RETRY_MS;
    }
    await this.#capture.capture(signal);
  }

  async #merge(signal?: AbortSignal): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      this.#capture.movePin();
      await this.#capture.capture(signal);
      this.#database.checkpoint();
      const { frames, mergedFrames } = this.#database.index();
      await this.#capture.capture(signal);
      if (frames - mergedFrames <= FRAMES_IN_BARRIER_MAX) return;
    }
  }

  /** All of the log in the main file, at the end. @returns its stamp; null if that could not be had. */
  async drainForEnd(): Promise<string | null> {
    await this.#merge();
    for (let tries = 0; tries < END_TRIES_MAX; tries++) {
      let stamp: string | null = null;
      const drained = this.#capture.drain(() => {
        stamp = this.#database.settledStamp();
      });
      await this.#capture.capture();
      if (drained !== null) return stamp;
      await sleep(END_RETRY_MS);
    }
    return null;
  }
}
