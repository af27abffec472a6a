/** Backups: one, the list of all, two side by side. */
import { z } from 'zod';
import { time, targetName, errorBody, trigger, otherDatabase } from './common.ts';

const method = z.enum(['quick', 'full']);

/** Rows that break a rule of their own table; null rows where they are not counted. */
export const ruleFindings = z.array(z.object({ table: z.string(), rule: z.string(), rows: z.number().nullable() }));

/** What could not be checked, and why. */
export const unchecked = z.array(z.object({ what: z.string(), why: z.string() }));
export const verification = z.discriminatedUnion('state', [
  z.object({
    state: z.literal('verified'),
    method,
    at: time,
    content: ruleFindings,
    unchecked,
    /** Both in words. */
    remarks: z.array(z.string()),
  }),
  z.object({ state: z.literal('damaged'), method, at: time, detail: z.string() }),
  /** `changedAt`: it passed a check, and its file was written to since. */
  z.object({ state: z.literal('unchecked'), changedAt: time.optional() }),
]);
export const loss = z.object({
  before: z.string(),
  dayBefore: z.string().nullable(),
  /** The worst first; `after` null: the table is gone. */
  tables: z.array(z.object({ name: z.string(), before: z.number(), after: z.number().nullable() })),
  usedPages: z.object({ before: z.number(), after: z.number() }),
  accepted: z.object({ at: time, user: z.string().nullable() }).nullable(),
});

export const backup = z.object({
  filename: z.string(),
  size: z.number(),
  createdAt: time,
  trigger: trigger.nullable(),
  user: z.string().nullable(),
  verified: z.boolean(),
  verification,
  foreign: z.boolean(),
  pinned: z.boolean(),
  note: z.string().nullable(),
  safety: z.boolean(),
  /** Adopted from a file that came from elsewhere: it is used only by its name. */
  arrived: z.literal(true).optional(),
  sha256: z.string().nullable(),
  pages: z.number().nullable(),
  pageSize: z.number().nullable(),
  /** Without `local` the backup is elsewhere alone: it is fetched when it is needed. */
  placements: z.array(
    z.object({
      target: targetName,
      status: z.enum(['stored', 'waiting', 'failed']),
      at: time.nullable(),
      error: errorBody.nullable(),
      /** `storage/backups/backup-….sqlite` or `s3://bucket/prefix/backup-….sqlite.zst`; null if nothing is yet. */
      where: z.string().nullable(),
      /** Size of the file there, which may be compressed; null if it is not known. */
      sizeBytes: z.number().nullable(),
      /** Where it is known. */
      sealing: z.enum(['plain', 'zstd', 'age', 'zstd+age']).optional(),
      /** The provider must bring it back before it can be read, which takes that long: `3 to 12 hours`. */
      archive: z.object({ storageClass: z.string(), takes: z.string() }).optional(),
    }),
  ),
  /** The other database that it is a backup of; null for a backup of this one. */
  other: otherDatabase.nullable(),
  /** In all tables; null if verification did not count them. */
  rows: z.number().nullable(),
  /** Against the backup before it: the three biggest differences, and how many tables differ. */
  changes: z
    .object({
      since: z.string(),
      count: z.number(),
      tables: z.array(z.object({ name: z.string(), before: z.number().nullable(), after: z.number().nullable() })),
    })
    .nullable(),
  loss: loss.nullable(),
});

const tableSize = z.object({ rows: z.number().nullable(), bytes: z.number() }).nullable();

/** `GET /api/diff?a=&b=`: by what verification counted. */
export const backupDiff = z.object({
  a: z.string(),
  b: z.string(),
  tables: z.array(
    z.object({
      name: z.string(),
      change: z.enum(['same', 'rows', 'schema', 'added', 'removed']),
      before: tableSize,
      after: tableSize,
    }),
  ),
  isSameSchema: z.boolean(),
  usedBytes: z.object({ before: z.number(), after: z.number() }),
});

export const backupsAnswer = z.object({ backups: z.array(backup) });
export const deleteAnswer = z.object({ deleted: z.string() });

export type Backup = z.infer<typeof backup>;
export type BackupDiff = z.infer<typeof backupDiff>;
