/** The status of a stream as its owner and other processes know it: it is told when there is news, and as a sign of life. */
import { readStatus, type StreamStatus, writeStatus } from './status.ts';

const TELL_MS = 5_000;

export class ToldStatus {
  readonly #folder: string;
  readonly #onStatus: (status: StreamStatus) => void;
  #now: StreamStatus = {
    ...{ phase: 'starting', bookmark: null, at: null, oldestAt: null, caughtUpAt: null, sizeBytes: 0, logBytes: 0 },
    ...{ pause: null, error: null, untrue: null, damage: null, warnings: [], targets: [], rebased: null },
  };
  #toldMs = 0;
  #writtenMs = 0;
  #written = '';

  /** What a process before this one left untrue still is, and what it captured was captured. */
  constructor(folder: string, onStatus: (status: StreamStatus) => void) {
    this.#folder = folder;
    this.#onStatus = onStatus;
    const before = readStatus(folder);
    const damage = before?.damage ?? null;
    this.#now = { ...this.#now, bookmark: before?.bookmark ?? null, at: before?.at ?? null };
    const isLeft = damage !== null || isStreamUntrueStill(before);
    if (isLeft) this.#now = { ...this.#now, damage, untrue: before?.untrue ?? null };
  }

  get now(): StreamStatus {
    return this.#now;
  }

  tell(change: Partial<StreamStatus>): void {
    const before = this.#now;
    this.#now = { ...before, ...change };
    const newsOf = ({
      phase,
      bookmark,
      caughtUpAt,
      pause,
      error,
      untrue,
      damage,
      warnings,
      rebased,
      targets,
    }: StreamStatus) =>
      JSON.stringify([
        ...[phase, bookmark, caughtUpAt === null, pause, error, untrue, damage, warnings.length, rebased],
        targets.map(({ name, behindSince, error: why }) => [name, behindSince === null, why?.code]),
      ]);
    if (newsOf(before) === newsOf(this.#now) && performance.now() - this.#toldMs < TELL_MS) return;
    this.#toldMs = performance.now();
    this.#onStatus(this.#now);
    this.#write(before);
  }

  /** For other processes: what changed, and the newest moment here and at the targets now and then. */
  #write(before: StreamStatus): void {
    const newsOf = ({ phase, error, untrue, damage, rebased, warnings, targets }: StreamStatus) =>
      JSON.stringify([
        ...[phase, error?.message, untrue, damage, rebased?.at, warnings.length],
        targets.map(({ name, error: why }) => [name, why?.message]),
      ]);
    const isDue = performance.now() - this.#writtenMs >= TELL_MS && momentsOf(this.#now) !== this.#written;
    if (isDue || newsOf(before) !== newsOf(this.#now)) this.writeNow();
  }

  writeNow(): void {
    this.#writtenMs = performance.now();
    this.#written = momentsOf(this.#now);
    try {
      writeStatus(this.#folder, this.#now);
    } catch {
      // The folder is not there yet, or full: what matters is told to the owner.
    }
  }
}

/** It was found at fault, and had no time to begin anew. */
function isStreamUntrueStill(told: StreamStatus | null): boolean {
  return told?.untrue?.at === 'stream' && (told.rebased?.at ?? '') < told.untrue.since;
}

/** Here, and at each target. */
function momentsOf({ bookmark, targets }: StreamStatus): string {
  return JSON.stringify([
    bookmark,
    targets.map((target) => [target.name, target.bookmark, target.behindSince === null]),
  ]);
}
