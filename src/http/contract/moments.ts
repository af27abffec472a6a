/** Continuous backup: the moments that can be restored, the marks, and whether commits are captured. */
import { z } from 'zod';
import { targetName, time } from './common.ts';

/** 16 hex digits, which sort as the moments do. */
const bookmark = z.string();

/**
 * `GET /api/moments`: only what lies between these, in any form that `restore` reads. `target`: of the copy of the stream
 * there, which is asked now; of the stream here if left out.
 */
export const momentsQuery = z.object({
  from: z.string().max(100).optional(),
  to: z.string().max(100).optional(),
  target: targetName.optional(),
});
export const moments = z.object({
  /** The newest moment, and what it is built from; null while it cannot be reached. */
  found: z
    .object({
      ...{ bookmark, at: time, segments: z.number(), bytes: z.number() },
      /** The nearest that can be restored on both sides of it. */
      before: bookmark.nullable(),
      after: bookmark.nullable(),
    })
    .nullable(),
  /** Where it cannot be: the nearest that can be. */
  near: z.array(bookmark),
  /** The finest first: level 0 is every captured moment, 1 to 3 a half minute, five minutes, an hour, 9 whole copies. */
  ranges: z.array(z.object({ level: z.number(), from: time, to: time, moments: z.number() })),
  /** Moments that cannot be restored any more, behind `after` and before `until`: segments are missing. */
  gaps: z.array(z.object({ after: bookmark, until: bookmark.nullable() })),
  /** Oldest first; `bookmark` is null until the commits before it are captured. */
  marks: z.array(z.object({ name: z.string(), at: time, bookmark: bookmark.nullable() })),
  sizeBytes: z.number(),
  /** Which stream it is. */
  tag: z.number().nullable(),
});

export const markBody = z.strictObject({ name: z.string().trim().min(1).max(200) });
export const mark = z.object({ name: z.string(), bookmark });

export const pauseAnswer = z.object({ paused: z.literal(true) });
export const resumeAnswer = z.object({ paused: z.literal(false), wasPaused: z.boolean() });
