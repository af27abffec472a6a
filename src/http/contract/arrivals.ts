/** Files from elsewhere, between their upload and what somebody decides about them. */
import { z } from 'zod';
import { backupDiff } from './backups.ts';
import { otherDatabase, time } from './common.ts';

/** A proxy often lets no larger body through. */
export const PIECE_BYTES_MAX = 1024 * 1024;

export const arrivalId = z.uuid();
export const newArrival = z.strictObject({
  name: z.string().min(1).max(1_000),
  sizeBytes: z.int().nonnegative(),
  /** When it was last written where it came from. */
  modifiedAt: time.optional(),
});
export const begunArrival = z.object({ id: arrivalId, pieceBytesMax: z.number() });
export const pieceOfFile = z.instanceof(Uint8Array);

export const arrival = z.object({
  id: arrivalId,
  /** Where it came from: somebody else's words. */
  name: z.string(),
  sizeBytes: z.number(),
  /** The moment that it would be listed under. */
  createdAt: time,
  sha256: z.string(),
  /** It is in WAL mode: what was in a log beside it is not in it. */
  isWal: z.boolean(),
  rows: z.number().nullable(),
  tables: z.array(z.object({ name: z.string(), rows: z.number().nullable(), bytes: z.number() })),
  furtherTables: z.number(),
  /** How much its tables are those of this database; `unknown`: there is no backup to compare it with. */
  likeness: z.enum(['same', 'similar', 'another', 'unknown']),
  /** Against the newest backup of this database. */
  diff: backupDiff.nullable(),
  /** The backup that is the same, byte for byte. */
  known: z.object({ filename: z.string(), createdAt: time, other: otherDatabase.nullable() }).nullable(),
  remarks: z.array(z.string()),
});

export type Arrival = z.infer<typeof arrival>;
