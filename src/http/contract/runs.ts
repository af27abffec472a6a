/** Runs: one by one, as they go on, and what became of each planned one. */
import { z } from 'zod';
import { time, targetName, errorBody, trigger } from './common.ts';

const runKind = z.enum(['backup', 'verify', 'restore', 'undo', 'upload', 'drill', 'rescue', 'undo-rescue']);
const drilled = z.object({
  target: targetName,
  proof: z.enum(['restored', 'sealed']).nullable(),
  assertions: z.number(),
  /** Only for a captured moment, whose bookmark is the run's `backup`: its time. */
  moment: time.nullable().optional(),
  remarks: z.array(z.string()).optional(),
});

const step = z.object({
  name: z.enum([
    'checkpoint',
    'copy',
    'verify',
    'publish',
    'upload',
    'prune',
    'fetch',
    'check',
    'safety',
    'place',
    'prove',
  ]),
  state: z.enum(['waiting', 'running', 'done', 'failed']),
  ms: z.number().optional(),
  bytesDone: z.number().optional(),
  bytesTotal: z.number().optional(),
});

export const runProgress = z.object({
  id: z.string(),
  kind: runKind,
  trigger,
  user: z.string().nullable(),
  startedAt: time,
  backup: z.string().nullable(),
  steps: z.array(step),
  percent: z.number(),
});

export const run = z.object({
  id: z.string(),
  kind: runKind,
  trigger,
  user: z.string().nullable(),
  plannedAt: time.nullable(),
  startedAt: time,
  endedAt: time,
  /** `refused`: a person asked for what could not be begun; it says nothing of the backups. */
  result: z.enum(['success', 'failed', 'unchanged', 'stopped', 'refused']),
  backup: z.string().nullable(),
  sizeBytes: z.number().nullable(),
  steps: z.array(step),
  error: errorBody.nullable(),
  /** Only for a drill. `sealed`: the digest is right, and there was no key to open the content. */
  drill: drilled.optional(),
  /** Only for an upload: where to; left out for `s3`. */
  target: targetName.optional(),
});

/**
 * `GET /api/activity`: the size of the database and one bar for each planned run. Where a range holds more planned runs
 * than fit on a screen, a bar stands for several and shows the worst of them.
 */
export const activityRange = z.enum(['24h', '7d', '30d']);
export const activity = z.object({
  range: activityRange,
  from: time,
  to: time,
  /** As the backups saw it, oldest first. */
  sizes: z.array(z.object({ at: time, sizeBytes: z.number() })),
  /** Without gaps, oldest first. */
  bars: z.array(
    z.object({
      from: time,
      to: time,
      /** From the worst to the best; `none`: nothing was planned, or it has not come yet. */
      state: z.enum(['failed', 'missed', 'no-s3', 'kept', 'pruned', 'unchanged', 'none']),
      /** Runs that this bar stands for, by hand too. */
      runs: z.number(),
      /** The run that decides, for the run log; null for `missed` and `none`. */
      run: z.string().nullable(),
      sizeBytes: z.number().nullable(),
      /** One sentence where it is known: the run's error, or that the app was not running. */
      reason: z.string().nullable(),
    }),
  ),
  counts: z.object({ good: z.number(), failed: z.number(), missed: z.number() }),
});

export const backupResult = z.object({
  success: z.boolean(),
  filename: z.string().optional(),
  size: z.number().optional(),
  s3Uploaded: z.boolean().optional(),
  /** By the names of the targets beside the folder that are on. */
  uploaded: z.record(z.string(), z.boolean()).optional(),
  error: errorBody.optional(),
  report: run,
});

export const runsAnswer = z.object({ runs: z.array(run) });

/** `POST /now?wait=false`, status 202. */
export const runAccepted = z.object({ runId: z.string() });
export const stopAnswer = z.object({ stopped: z.boolean() });

export type RunProgress = z.infer<typeof runProgress>;
export type Run = z.infer<typeof run>;
export type Activity = z.infer<typeof activity>;
export type BackupResult = z.infer<typeof backupResult>;
export type RunAccepted = z.infer<typeof runAccepted>;
