/** Parts of the contract's status: what the verdict may be, and how commits are captured. */
import { z } from 'zod';
import { errorCodes } from '../words/errors.ts';

export const time = z.iso.datetime();

export const errorBody = z.object({ code: z.enum(errorCodes), message: z.string(), hint: z.string() });

export const verdictCode = z.enum([
  'restoring',
  'running',
  'restored',
  'missing',
  'loss',
  'foreign-place',
  'stalled',
  'not-captured',
  'other-writer',
  'cloned',
  'none',
  'too-old',
  'damaged',
  'changed',
  'last-failed',
  's3-waiting',
  'off',
  'disk-low',
  'protected',
]);

export const continuous = z.object({
  phase: z.enum(['off', 'starting', 'capturing', 'paused', 'waiting']),
  /** The newest captured moment, in 16 hex digits. */
  bookmark: z.string().nullable(),
  at: time.nullable(),
  oldestAt: time.nullable(),
  /** All that was committed then is captured. */
  caughtUpAt: time.nullable(),
  sizeBytes: z.number(),
  /** The app's own log. */
  logBytes: z.number(),
  pause: z.object({ reason: z.enum(['asked', 'restore', 'replaced']), since: time }).nullable(),
  error: errorBody.nullable(),
  /** The live file, or the stream, is not what was committed. */
  untrue: z.object({ at: z.enum(['file', 'stream']), since: time, error: errorBody }).nullable(),
  warnings: z.array(z.string()),
  /** Why commits are not captured; null when they are. */
  concern: z.string().nullable(),
});
