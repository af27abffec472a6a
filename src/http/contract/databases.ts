/** Several databases at once: how each stands, in so few words that a thousand of them are a small answer. */
import { z } from 'zod';
import { databaseName, targetName, time } from './common.ts';
import { protectionState, status, verdictCode } from './status.ts';

const errandAct = z.enum(['backup', 'verify']);

export const databaseRow = z.object({
  name: z.string(),
  /** Its page, below the first one. */
  page: z.string(),
  path: z.string(),
  exists: z.boolean(),
  state: protectionState,
  /** Null if its state can't be read. */
  code: verdictCode.nullable(),
  /** The verdict in a few words, and its colour. */
  label: z.string(),
  tone: status.shape.verdict.shape.tone,
  /** What is behind the verdict, in a few words, if they say more than it does. */
  reason: z.string().nullable(),
  /** How far the run is that is going; null if none is. */
  percent: z.number().nullable(),
  sizeBytes: z.number(),
  /** When the newest good backup was last known to be the whole truth. */
  lastGoodAt: time.nullable(),
  /** Null if no run is planned. */
  nextRunAt: time.nullable(),
  /** The folder first, then each target that is on. */
  places: z.array(
    z.object({
      target: targetName,
      kind: z.enum(['local', 'bucket', 'folder']),
      state: z.enum(['stored', 'waiting', 'failing']),
    }),
  ),
  /** What was asked of it from the overview, until ten minutes after it ended. */
  errand: z
    .object({
      act: errandAct,
      state: z.enum(['waiting', 'running', 'done', 'failed']),
      /** Why it failed. */
      detail: z.string().nullable(),
    })
    .nullable(),
});

/** `GET /api/databases`: one where no list is configured. */
export const databasesAnswer = z.object({
  /** Whose routes answered; null at the top. */
  current: z.string().nullable(),
  databases: z.array(databaseRow),
});

/** The event `databases` above several: first all of them, then those that changed, and if nothing did the time alone. */
export const databasesEvent = z.object({
  serverTime: time,
  /** They are all there are; else only these changed. */
  isAll: z.boolean(),
  databases: z.array(databaseRow),
});

const STRIPS_MAX = 100;

/** Names, with commas between them. */
export const stripsQuery = z.object({
  names: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.string().regex(databaseName)).max(STRIPS_MAX)),
});

/**
 * The last 24 hours of each, oldest first, a letter a planned run, or for several the worst of them: `f` failed, `m` missed,
 * `w` waits for a target, `k` a good backup, `-` nothing was planned.
 */
export const stripsAnswer = z.object({ strips: z.record(z.string(), z.string()) });

/** Left out: all. */
export const errandBody = z
  .strictObject({ names: z.array(z.string().regex(databaseName)).min(1).optional() })
  .optional();

/** How many were not asked already. */
export const errandAccepted = z.object({ accepted: z.number() });

export type DatabasesAnswer = z.infer<typeof databasesAnswer>;
export type DatabaseRow = z.infer<typeof databaseRow>;
export type DatabasesEvent = z.infer<typeof databasesEvent>;
export type ErrandAccepted = z.infer<typeof errandAccepted>;
