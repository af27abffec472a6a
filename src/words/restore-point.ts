/** What to bring back: one backup by its name, the newest good one, or the newest one of a moment. */
import { BackupError } from './errors.ts';
import { MOMENT_FORMS, parseMoment, sayMoment } from './moment.ts';

export type RestorePoint = { readonly backup: string } | { readonly latest: true } | { readonly at: Date };

/** As people and programs write it: a moment may be a text. */
export type RestorePointGiven =
  | Exclude<RestorePoint, { readonly at: Date }>
  | {
      /** A text without a zone is local time of the process that reads it: `yesterday 18:00`, `2024-01-15T10:30`. */
      readonly at: Date | string;
    };

/** @throws BackupError BAD_REQUEST unless it says exactly one thing, and a moment that can be understood. */
export function readRestorePoint(given: RestorePointGiven, now: Date): RestorePoint {
  // Programs without types call this too.
  const { backup, latest, at, ...rest }: Readonly<Record<string, unknown>> = { ...given };
  const said = [backup, latest, at].filter((value) => value !== undefined);
  if (said.length !== 1 || Object.keys(rest).length > 0) throw unclear('a restore point names one thing only');
  if (latest === true) return { latest };
  if (typeof backup === 'string') return { backup };
  if (at !== undefined) return { at: readMoment(at, now) };
  throw unclear('that is not a restore point');
}

/** A captured moment by its TXID, in 16 hex digits. */
export function isBookmark(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text);
}

/** What a moment was taken for, so that nobody restores the wrong hour. */
export function momentOf(point: RestorePoint): { readonly at: Date; readonly said: string } | null {
  return 'at' in point ? { at: point.at, said: sayMoment(point.at) } : null;
}

function readMoment(at: unknown, now: Date): Date {
  if (at instanceof Date && !Number.isNaN(at.getTime())) return at;
  const moment = typeof at === 'string' ? parseMoment(at, now) : null;
  if (moment) return moment;
  const shown = typeof at === 'string' ? JSON.stringify(at.slice(0, SHOWN_MAX)) : String(at);
  throw new BackupError('BAD_REQUEST', `${shown} is not a time`, {
    hint: `Write it as ${MOMENT_FORMS}. Without a zone it is local time, and a day alone means its end.`,
  });
}

const SHOWN_MAX = 100;

function unclear(message: string): BackupError {
  return new BackupError('BAD_REQUEST', message, {
    hint: 'Give { backup: NAME }, { latest: true } or { at: TIME }.',
  });
}
