/** Restores: the plan of one, what is asked for, and its result. */
import { z } from 'zod';
import { allowPlain, targetName, time } from './common.ts';
import { run } from './runs.ts';

/** What a moment that was asked for was taken for; `said` names its zone, and the same in UTC. */
export const askedMoment = z.object({ at: time, said: z.string() });
export const restorePlan = z.object({
  backup: z.string(),
  confirm: z.string(),
  expected: z.string(),
  now: z.object({ sizeBytes: z.number(), changedAt: time, pageSize: z.number() }).nullable(),
  after: z.object({ sizeBytes: z.number(), createdAt: time, verified: z.boolean(), pageSize: z.number() }),
  tables: z.array(z.object({ name: z.string(), now: z.number().nullable(), after: z.number().nullable() })).nullable(),
  /** The best first; `missing` where there is no file to replace. */
  modes: z.array(z.enum(['online', 'offline', 'missing'])),
  /** What the warnings speak of: `missing` where there is no file; else what `?mode=` asks for, or the first possible. */
  mode: z.enum(['online', 'offline', 'missing']),
  /** Processes that have the database open, as far as they can be seen; an offline restore is refused meanwhile. */
  openIn: z.array(z.object({ pid: z.number(), name: z.string() })),
  /** A safety backup is made first, and undo brings it back. */
  undo: z.boolean(),
  warnings: z.array(z.string()),
  moment: askedMoment.optional(),
  /** If it is a captured moment: from where, of how many segments and bytes, and the nearest moments before and after it. */
  stream: z
    .object({
      ...{ target: z.string(), bookmark: z.string(), segments: z.number(), bytes: z.number() },
      before: z.string().nullable(),
      after: z.string().nullable(),
    })
    .optional(),
});

export const planQuery = z.object({ mode: z.enum(['online', 'offline']).optional(), allowPlain });
const oneOfThree = { path: ['at'], error: 'say one of backup, latest and at' };
const restorePoint = {
  /** A backup's name. */
  backup: z.string().max(255).optional(),
  /** `2024-01-15T10:30`, `yesterday 18:00`, `2 hours ago`: without a zone it is local time of the server. */
  at: z.string().max(100).optional(),
  /** Only from this target; left out: from wherever the newest lies. */
  from: targetName.optional(),
};

/** `GET /api/restore`: which backup that is, and what a restore of it would do. */
export const pointPlanQuery = planQuery
  .extend({ ...restorePoint, latest: z.enum(['true']).optional() })
  .refine(saysOnePoint, oneOfThree);

/**
 * `missing`: where the database's file is gone. Nothing is replaced, so nothing is confirmed; refused where there is one.
 * `fromOther`: a backup of another database is restored here only when this says so. `allowPlain`: so is a copy that is not
 * encrypted, where copies at its target are to be.
 */
const restoreOptions = z.strictObject({
  /** The database's file name. */
  confirm: z.string().max(255).optional(),
  mode: z.enum(['online', 'offline', 'missing']).default('online'),
  expected: z.string().max(200).optional(),
  fromOther: z.boolean().optional(),
  allowPlain: z.boolean().optional(),
});

const isConfirmed = ({ mode, confirm }: z.output<typeof restoreOptions>) => mode === 'missing' || confirm !== undefined;
const unconfirmed = { path: ['confirm'], error: 'must be the name of the database, where one is replaced' };
export const restoreBody = restoreOptions.refine(isConfirmed, unconfirmed);

/** `POST /api/restore`: the same, of the backup that is meant. */
export const pointRestoreBody = restoreOptions
  .extend({ ...restorePoint, latest: z.literal(true).optional() })
  .refine(isConfirmed, unconfirmed)
  .refine(saysOnePoint, oneOfThree);

export const undoBody = z.strictObject({
  confirm: z.string().max(255),
  mode: z.enum(['online', 'offline', 'missing']).default('online'),
});

export const restoreResult = z.object({
  success: z.boolean(),
  backup: z.string(),
  mode: z.enum(['file', 'online', 'offline', 'missing']),
  path: z.string(),
  /** Null if nothing was replaced. */
  safetyBackup: z.string().nullable(),
  report: run,
  moment: askedMoment.optional(),
});

/** `POST /api/restore/dismiss`: the verdict of the last restore is put away for all; false when there is none. */
export const dismissAnswer = z.object({ dismissed: z.boolean() });

export type RestorePlan = z.infer<typeof restorePlan>;
export type RestoreBody = z.input<typeof restoreBody>;
export type RestoreResult = z.infer<typeof restoreResult>;

function saysOnePoint({
  backup,
  latest,
  at,
}: {
  readonly backup?: unknown;
  readonly latest?: unknown;
  readonly at?: unknown;
}): boolean {
  return [backup, latest, at].filter((said) => said !== undefined).length === 1;
}
