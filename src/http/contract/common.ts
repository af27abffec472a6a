/** What several parts of the contract speak of: names, moments, errors. */
import { z } from 'zod';
import { errorCodes } from '../../words/errors.ts';

export const time = z.iso.datetime();
export const backupName = /^backup-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-\d{3}Z\.sqlite$/;

/** `local`, `s3` (the one of the environment), or the name of a further one. */
export const targetName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be the name of a target: local, s3, …');
export const errorBody = z.object({ code: z.enum(errorCodes), message: z.string(), hint: z.string() });
export const errorAnswer = z.object({
  error: errorBody.extend({ fields: z.record(z.string(), z.string()).optional() }),
});

export const trigger = z.enum(['start', 'schedule', 'manual', 'cli', 'safety']);

/** A database that a place or a backup belongs to; the id is null if only old manifests tell of it. */
export const otherDatabase = z.object({ id: z.string().nullable(), name: z.string() });

/** Only for a copy at a target: see `restoreBody`. */
export const allowPlain = z.enum(['true']).optional();

/** The form of a database's name. */
export const databaseName = /^[a-z0-9][a-z0-9._-]*$/;

export type ErrorAnswer = z.infer<typeof errorAnswer>;
