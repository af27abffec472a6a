/** What is asked of a target, or found out about the way all is set up. */
import { z } from 'zod';
import { time, targetName, errorBody, otherDatabase } from './common.ts';

export const claimAnswer = z.object({
  target: targetName,
  place: z.string(),
  /** False if the place was ours already, or is of nobody yet. */
  changed: z.boolean(),
  /** Whose it was; null if it was of several, or of nobody. */
  before: otherDatabase.nullable(),
  databaseId: z.string().nullable(),
  /** Backups there that count as this database's by now, and those that stay as others'. */
  ours: z.number(),
  others: z.number(),
  /** Until then nothing is removed there that was made before the claim. */
  sparesUntil: time.nullable(),
});

export const prunePlan = z.object({
  target: targetName,
  kept: z.array(z.object({ filename: z.string(), reasons: z.array(z.string()) })),
  removed: z.array(z.object({ filename: z.string(), reason: z.string() })),
  dryRun: z.boolean(),
});

/** `GET /api/doctor`, the worst first; `why` and `fix` are null if all is well. */
export const doctorReport = z.object({
  ok: z.boolean(),
  findings: z.array(
    z.object({
      code: z.string(),
      severity: z.enum(['ok', 'info', 'warning', 'problem']),
      what: z.string(),
      why: z.string().nullable(),
      fix: z.string().nullable(),
    }),
  ),
});

/** A drill that fails is an answer, not an error. */
export const drillReport = z.object({
  ok: z.boolean(),
  drills: z.array(
    z.object({
      target: targetName,
      result: z.enum(['proven', 'sealed', 'failed', 'stopped', 'refused']),
      backup: z.string().nullable(),
      /** Only for a captured moment, whose bookmark is `backup`: its time. */
      moment: time.nullable().optional(),
      sizeBytes: z.number().nullable(),
      ms: z.number(),
      assertions: z.number(),
      remarks: z.array(z.string()).optional(),
      error: errorBody.nullable(),
    }),
  ),
});

export const policyDocument = z.object({
  Version: z.literal('2012-10-17'),
  Statement: z.array(
    z.object({
      Sid: z.string(),
      Effect: z.literal('Allow'),
      Action: z.array(z.string()),
      Resource: z.string(),
      Condition: z.object({ StringLike: z.record(z.string(), z.array(z.string())) }).optional(),
    }),
  ),
});

export const finding = z.object({
  check: z.enum([
    ...(['write', 'head', 'read', 'list', 'private', 'delete', 'traces'] as const),
    ...(['clock', 'create-only', 'multipart', 'unfinished-uploads', 'versions'] as const),
    ...(['overwrite', 'lifecycle'] as const),
    ...(['reach', 'sign-in', 'owner', 'speed', 'answer'] as const),
  ]),
  result: z.enum(['ok', 'warning', 'failed']),
  message: z.string(),
  hint: z.string().nullable(),
  /** How long it took; told while something is set up. */
  ms: z.number().optional(),
});

/** `POST /api/targets/:name/test`. A target that fails its test is an answer, not an error. */
export const targetReport = z.object({
  target: targetName,
  place: z.string(),
  ok: z.boolean(),
  ms: z.number(),
  findings: z.array(finding),
  /** An IAM document with the rights that the key needs; null for a folder. */
  policy: policyDocument.nullable(),
});

export type DoctorReport = z.infer<typeof doctorReport>;
export type DrillReport = z.infer<typeof drillReport>;
export type TargetReport = z.infer<typeof targetReport>;
