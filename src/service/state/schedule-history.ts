/**
 * When a schedule was in force, and until when its process was known to run: what tells a missed run from one that
 * nobody planned. A span a start or change of the schedule, in our own small database; it ends where the next begins.
 *
 * A note is a favour, never a duty: one that can't be written now is written at the next wake of the schedule.
 */
import type { Schedule } from '../../words/schedule.ts';
import type { ScheduleSpan } from '../runs/activity.ts';
import type { StateStatements } from './state-database.ts';

/** How often a span that goes on is written; a missed run is told from a late one by minutes. */
const SEEN_EVERY_MS = 60_000;
/** Nothing was heard for so long: the machine slept, and another span begins. The scheduler wakes every half minute. */
const SILENCE_MS = 5 * 60_000;
/** A crash loop must not fill the disk. */
const SPANS_MAX = 5_000;

interface ScheduleHistoryOptions {
  readonly database: () => StateStatements;
  /** The backup folder that it is of. */
  readonly folder: string;
  readonly now: () => Date;
}

type OpenSpan = { -readonly [Key in keyof ScheduleSpan]: ScheduleSpan[Key] } & { id: number | bigint | null };

export class ScheduleHistory {
  readonly #options: ScheduleHistoryOptions;
  #open: OpenSpan | null = null;
  #writtenMs = Number.NEGATIVE_INFINITY;

  constructor(options: ScheduleHistoryOptions) {
    this.#options = options;
  }

  /** @param schedule null: switched off. */
  begin(schedule: Schedule | null, plannedAt: Date): void {
    this.end();
    const now = this.#options.now();
    this.#open = { id: null, beganAt: now, plannedAt, seenAt: now, schedule };
    this.#write(this.#open);
  }

  /** At each wake of the schedule. */
  goesOn(): void {
    const span = this.#open;
    if (!span) return;
    const now = this.#options.now();
    const sinceMs = now.getTime() - span.seenAt.getTime();
    if (sinceMs > SILENCE_MS || sinceMs < 0) {
      this.#open = { ...span, id: null, beganAt: now, plannedAt: now, seenAt: now };
      this.#write(this.#open);
      return;
    }
    span.seenAt = now;
    if (Math.abs(now.getTime() - this.#writtenMs) >= SEEN_EVERY_MS || span.id === null) this.#write(span);
  }

  /** The process ends, or the schedule does. */
  end(): void {
    if (!this.#open) return;
    this.#open.seenAt = this.#options.now();
    this.#write(this.#open);
    this.#open = null;
  }

  /** Those that were in force since then, oldest first. */
  since(from: Date): readonly ScheduleSpan[] {
    const rows = this.#options
      .database()
      .prepare('SELECT * FROM schedule_spans WHERE folder = ? ORDER BY id')
      .all(this.#options.folder)
      .map((row) => ({
        beganAt: new Date(Number(row['began_at'])),
        plannedAt: new Date(Number(row['planned_at'])),
        seenAt: new Date(Number(row['seen_at'])),
        schedule: row['schedule'] === null ? null : (JSON.parse(String(row['schedule'])) as Schedule), // written by us
      }));
    const spans = this.#open?.id === null ? [...rows, this.#open] : rows;
    // The last one before is in force at the beginning.
    const first = spans.findLastIndex(({ beganAt }) => beganAt <= from);
    return spans.slice(Math.max(0, first));
  }

  #write(span: OpenSpan): void {
    const { folder, database } = this.#options;
    try {
      if (span.id === null) {
        const { lastInsertRowid } = database()
          .prepare(
            'INSERT INTO schedule_spans (folder, began_at, planned_at, seen_at, schedule) VALUES (?, ?, ?, ?, ?)',
          )
          .run(
            folder,
            span.beganAt.getTime(),
            span.plannedAt.getTime(),
            span.seenAt.getTime(),
            span.schedule && JSON.stringify(span.schedule),
          );
        span.id = lastInsertRowid;
        database()
          .prepare('DELETE FROM schedule_spans WHERE id <= ?')
          .run(Number(lastInsertRowid) - SPANS_MAX);
      } else {
        database().prepare('UPDATE schedule_spans SET seen_at = ? WHERE id = ?').run(span.seenAt.getTime(), span.id);
      }
      this.#writtenMs = span.seenAt.getTime();
    } catch {
      // Another process writes just now, or the disk is full; the next wake tries again.
    }
  }
}
