/** How it stands: of one database, of all, and in one word. */
import { z } from 'zod';
import { time, targetName, errorBody, otherDatabase } from './common.ts';
import { runProgress, run } from './runs.ts';
import { loss } from './backups.ts';

export const verdictCode = z.enum([
  'restoring',
  'running',
  'restored',
  'missing',
  'loss',
  'foreign-place',
  'stalled',
  'not-captured',
  'behind',
  'other-writer',
  'cloned',
  'none',
  'too-old',
  'damaged',
  'changed',
  'last-failed',
  'check-failed',
  's3-waiting',
  'off',
  'disk-low',
  'protected',
]);

/** `late`: the newest good backup is too old. `at-risk`: it is not, but `cause` may end that. `unprotected`: there is none. */
export const protectionState = z.enum(['protected', 'late', 'at-risk', 'unprotected']);

/** How fresh what protects the database is at each place, whatever is going at present. */
const freshness = z.object({
  state: protectionState,
  cause: verdictCode,
  changedAt: time.nullable(),
  targets: z.array(
    z.object({
      target: targetName,
      goodAt: time.nullable(),
      verifiedAt: time.nullable(),
      storedAt: time.nullable(),
      /** The last restore that a drill proved there; null when none did. */
      proven: z.object({ at: time, ms: z.number(), backup: z.string() }).nullable(),
      /** How the last drill there ended; `failed` until one proves the same backup or a newer one. */
      drill: z.object({ at: time, result: z.enum(['proven', 'sealed', 'failed']) }).nullable(),
      /** Backups there that did not pass their last check. */
      damaged: z.number(),
    }),
  ),
});

/** What is stored at a target, and what waits for it. */
const remote = {
  enabled: z.boolean(),
  bucket: z.string().nullable(),
  path: z.string(),
  stored: z.number(),
  waiting: z.number(),
  nextTryAt: time.nullable(),
  error: errorBody.nullable(),
  /** When what it holds was looked at last. */
  listedAt: time.nullable(),
  /** After so many days a rule of the bucket removes a copy, and nothing else does; else our retention does. */
  lifecycleDays: z.number().nullable().optional(),
};

const continuous = z.object({
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
  /** The last drill of a captured moment; `failed` until one proves the same moment or a newer one. */
  drill: z
    .object({
      ...{ at: time, result: z.enum(['proven', 'failed']) },
      ...{ bookmark: z.string().nullable(), moment: time.nullable() },
    })
    .nullable(),
  /** What each target that is on holds of it. */
  targets: z.array(
    z.object({
      name: targetName,
      /** The newest moment that can be restored from there. */
      bookmark: z.string().nullable(),
      ...{ at: time.nullable(), oldestAt: time.nullable() },
      /** When the oldest commit was captured that is not there; null when all are. */
      behindSince: time.nullable(),
      waitingBytes: z.number(),
      /** Null until it was listed. */
      sizeBytes: z.number().nullable(),
      error: errorBody.nullable(),
    }),
  ),
  /** A target that is behind for longer turns the verdict. */
  maxLagSeconds: z.number(),
  warnings: z.array(z.string()),
  /** Why commits are not captured; null when they are. */
  concern: z.string().nullable(),
});

export const status = z.object({
  serverTime: time,
  version: z.string(),
  verdict: z.object({
    code: verdictCode,
    tone: z.enum(['green', 'amber', 'red', 'blue', 'grey']),
    /** One sentence, where code and status alone do not say what is wrong: a file that vanished from the folder. */
    detail: z.string().optional(),
  }),
  freshness,
  database: z.object({
    name: z.string(),
    path: z.string(),
    exists: z.boolean(),
    /** With its write-ahead log. */
    sizeBytes: z.number(),
    /** The log alone: it says nothing of how large a backup will be. */
    logBytes: z.number(),
    changedAt: time.nullable(),
    /** Against the oldest backup of the last 24 hours; null if there is none. */
    growthBytes: z.number().nullable(),
  }),
  schedule: z.object({
    enabled: z.boolean(),
    running: z.boolean(),
    intervalMinutes: z.number(),
    cron: z.string().nullable(),
    nextRunAt: time.nullable(),
    stalledSince: time.nullable(),
  }),
  local: z.object({
    path: z.string(),
    count: z.number(),
    keep: z.number(),
    sizeBytes: z.number(),
    freeBytes: z.number(),
    /** What retention will hold there, estimated from today's sizes. */
    forecast: z.object({
      bytes: z.number(),
      /** Size of one more backup. */
      eachBytes: z.number(),
      /** Size of safety copies, pinned ones, and foreign files: they stay beside what the numbers say. */
      besideBytes: z.number(),
      /** What all copies together may take while nobody said the keep numbers; null if somebody did. */
      budgetBytes: z.number().nullable(),
      /** How many copies there is room for of what the default keeps beside the newest, and the same in words. */
      fitting: z.number().nullable(),
      note: z.string().nullable(),
    }),
  }),
  s3: z.object({ configured: z.boolean(), ...remote }),
  /** Each that is configured beside the folder; `s3` first, if it is. */
  targets: z.array(z.object({ target: targetName, ...remote, where: z.string() })),
  lastGood: z.object({ filename: z.string(), createdAt: time, verifiedAt: time, holdsAt: time }).nullable(),
  /** The failed drill or check that counts most, of those that nothing has answered, and how many more there are. */
  failedCheck: z
    .object({
      kind: z.enum(['drill', 'verify']),
      target: targetName,
      backup: z.string().nullable(),
      at: time,
      why: z.string(),
      run: z.string().nullable(),
      more: z.number(),
    })
    .nullable(),
  maxAgeMinutes: z.number(),
  run: runProgress.nullable(),
  /** The newest that is not an upload. */
  lastRun: run.nullable(),
  lastBackupRun: run.nullable(),
  /** Whose the folder and each target that is on are, and who else writes there. */
  places: z.array(
    z.object({
      target: targetName,
      owner: z.enum(['ours', 'new', 'mixed', 'foreign', 'unknown']),
      other: otherDatabase
        .extend({
          createdAt: time.nullable(),
          isSameName: z.boolean().nullable(),
          isSamePath: z.boolean().nullable(),
          isSameMachine: z.boolean().nullable(),
          tablesInCommon: z.object({ common: z.number(), theirs: z.number() }).nullable(),
          newestBackup: z.object({ filename: z.string(), createdAt: time }).nullable(),
        })
        .nullable(),
      writer: z
        .object({ kind: z.enum(['other', 'clone']), host: z.string(), since: time, seenAt: time.nullable() })
        .nullable(),
      sparesOthersUntil: time.nullable(),
    }),
  ),
  /** How commits are captured; absent while continuous backup is off. */
  continuous: continuous.optional(),
  /** The open alarm: `filename` shows the loss that `before` does not have. */
  loss: loss.extend({ filename: z.string(), at: time, beforeAt: time }).nullable(),
  undo: z.object({ filename: z.string(), restored: z.string(), at: time }).nullable(),
});

/** The word is open to all; the rest needs the right to read. */
export const health = z.object({
  status: z.enum(['ok', 'failing']),
  state: protectionState.optional(),
  verdict: verdictCode.optional(),
  lastGood: status.shape.lastGood.optional(),
  /** Where there are many; the rest is the worst of them. */
  databases: z
    .array(
      z.object({
        name: z.string(),
        status: z.enum(['ok', 'failing']),
        state: protectionState,
        verdict: verdictCode.nullable(),
        lastGoodAt: z.iso.datetime().nullable(),
      }),
    )
    .optional(),
});

export type Status = z.infer<typeof status>;
export type Health = z.infer<typeof health>;
