/** Rows that are brought back from inside a backup or a captured moment. */
import { z } from 'zod';
import { time } from './common.ts';

/** A backup's name, or the bookmark of a captured moment (16 hex digits). */
const insideOf = z.string().min(1).max(255);

/**
 * NULL, a number and a short text stand for themselves. An integer beyond 2^53, an infinite number, a blob and a text of more
 * than 200 characters are objects; of the last two only the beginning is there.
 */
const cell = z.union([
  z.null(),
  z.number(),
  z.string(),
  z.object({ integer: z.string() }),
  z.object({ real: z.enum(['Infinity', '-Infinity']) }),
  z.object({ text: z.string(), bytes: z.number() }),
  /** `start` is up to 32 bytes in hex. */
  z.object({ blob: z.number(), start: z.string() }),
]);

/** Names a row of a table: its primary key, or else its rowid, as text that only the server reads. */
const rowKey = z.string().max(4_096);

const rule = z.enum(['keep', 'take', 'stop']);
/** Which rows of `of` come back; `keys` left out: all that were removed since, and with `changed` those that were changed. */
const rescuedTable = z.strictObject({
  table: z.string().max(1_000),
  keys: z.array(rowKey).max(10_000).optional(),
  changed: z.boolean().optional(),
  /** For a row that is there with other content: keep what is live (default), take the backup's, or stop. */
  conflicts: rule.optional(),
});
export const rescueBody = z.strictObject({
  of: insideOf,
  tables: z.array(rescuedTable).min(1).max(1_000),
  /** Where the rows were last as they are wanted: rows that differ from it in the live database were changed since. */
  since: insideOf.optional(),
  /** Triggers of the app fire for what is written; they do not unless this says so. */
  triggers: z.boolean().optional(),
  /** Rows that others need by a foreign key come along; true unless this says otherwise. */
  withNeeded: z.boolean().optional(),
});

/** `POST /api/rescue/plan`: what it would do. Nothing is written. */
export const rescuePlan = z.object({
  of: z.string(),
  at: time,
  /** For `POST /api/rescue`: the live rows that it speaks of, as a digest. */
  expected: z.string(),
  writes: z.number(),
  tables: z.array(
    z.object({
      name: z.string(),
      /** Asked for, and needed by them. */
      picked: z.number(),
      needed: z.number(),
      insert: z.number(),
      update: z.number(),
      same: z.number(),
      conflicts: z.number(),
      rule,
      hasKey: z.boolean(),
      triggers: z.array(z.string()),
    }),
  ),
  /** The first 100. */
  conflicts: z.array(
    z.object({
      table: z.string(),
      key: rowKey,
      columns: z.array(z.string()),
      backup: z.array(cell),
      live: z.array(cell),
      result: rule,
    }),
  ),
  /** Sentences; while there is one, nothing can be written. */
  blocked: z.array(z.string()),
  warnings: z.array(z.string()),
  bytes: z.number(),
});

export const rescueId = z.string().regex(/^\d{8}t\d{6}-[\da-f]{12}$/);

/** `POST /api/rescue`: DB_CHANGED where the rows are not as they were planned. */
export const rescueGoBody = rescueBody.extend({ expected: z.string().max(200) });
export const rescued = z.object({
  id: z.string(),
  at: time,
  of: z.string(),
  written: z.number(),
  tables: z.array(z.object({ name: z.string(), inserted: z.number(), updated: z.number() })),
  user: z.string().nullable(),
  /** When it was undone. */
  undoneAt: time.nullable(),
});
export const rescuedAnswer = z.object({ rescue: rescued });
/** `POST /api/rescues/:rescue/undo`: rows that others changed in the meantime are left alone. */
export const rescueUndone = z.object({ rescue: rescued, undone: z.number(), left: z.number() });
/** `GET /api/rescues`: the newest first; each can be undone for 30 days. */
export const rescues = z.object({ rescues: z.array(rescued) });
