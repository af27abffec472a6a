/**
 * The record of one backup, written last: its presence means that the backup is complete. JSON beside the file, named
 * like it with `.json` appended. What it says of the file (size, digest) is checked on every read of the file.
 */
import { z } from 'zod';
import { VERSION } from '../../version.ts';
import { BackupError } from '../../words/errors.ts';
import type { Remarks } from '../sqlite/rules.ts';
import { visibleLine } from '../../words/visible-text.ts';
import { artifactFile, isBackupName } from './names.ts';

export const MANIFEST_FORMAT = 'velist-backup/1';

/** How much a table held: null rows where they could not be counted, as in a virtual table. */
const tableFacts = z.object({
  rows: z.int().nonnegative().nullable(),
  /** Size of the table and its indexes, overflow pages included. */
  bytes: z.int().nonnegative(),
  /** Keys and values in them; a vacuum changes the pages, and not these. */
  contentBytes: z.int().nonnegative().optional(),
  /** First 12 hex digits of the SHA-256 of its definition and those of its indexes and triggers, without their names. */
  schema: z.string(),
});

/** What verification found in the database; early versions did not look. */
const databaseFacts = z.object({
  /** By name; SQLite's own tables are left out. */
  tables: z.record(z.string(), tableFacts),
  /** Tables beyond the first few thousand, which are not listed. */
  furtherTables: z.int().nonnegative(),
  furtherRows: z.int().nonnegative().optional(),
  /** SHA-256 of the whole schema. */
  schema: z.string(),
  /** Pages in use: all but those of the freelist. */
  usedPages: z.int().nonnegative(),
  /** Keys and values in all tables and indexes. */
  contentBytes: z.int().nonnegative().optional(),
});

const tableLoss = z.object({
  name: z.string(),
  before: z.int().nonnegative(),
  /** Null: the table is gone. */
  after: z.int().nonnegative().nullable(),
});

/** A backup's name: it stands in commands that people copy. */
const backupName = z.string().refine(isBackupName, { error: 'is not the name of a backup' });

/** That a backup lost much against the one before. */
const lossMark = z.object({
  /** Name of the last backup before the loss. */
  before: backupName,
  /** Name of the newest backup that was a day older than that one; null when there is none. */
  dayBefore: backupName.nullable(),
  /** The worst first. */
  tables: z.array(tableLoss),
  usedPages: z.object({ before: z.int(), after: z.int() }),
  /** The user who said that it was meant; null while nobody did. */
  accepted: z.object({ at: z.iso.datetime(), user: z.string().nullable() }).nullable(),
});

/** Rows that break a rule of their own table, and what could not be checked: both are told, and no harm to the backup. */
const remarks = {
  content: z.array(z.object({ table: z.string(), rule: z.string(), rows: z.int().nonnegative().nullable() })),
  unchecked: z.array(z.object({ what: z.string(), why: z.string() })),
};

const fileStamp = z.object({
  ...{ inode: z.string(), sizeBytes: z.number(), modifiedNs: z.string() },
  changedNs: z.string().optional(),
});
const time = z.iso.datetime();

const manifestSchema = z.object({
  format: z.literal(MANIFEST_FORMAT),
  /** `backup-2024-01-15T10-30-00-000Z.sqlite`: the moment of the pin, in UTC. */
  name: z.string(),
  /** Order of our own backups, whatever the clock said; null for an adopted one, which is ordered by its name. */
  sequence: z.int().positive().nullable(),
  createdAt: time,
  source: z.object({ name: z.string(), journalMode: z.string().nullable() }),
  database: z.object({
    sizeBytes: z.int().nonnegative(),
    pageSize: z.int().positive(),
    pages: z.int().nonnegative(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  artifact: z.object({
    file: z.string(),
    sizeBytes: z.int().nonnegative(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    compression: z.enum(['none', 'zstd']),
    encryption: z.enum(['none', 'age']),
  }),
  verification: z.object({
    method: z.enum(['quick', 'full']),
    at: time,
    /** Null when its structure is sound, else what was found. */
    complaint: z.string().nullable(),
    content: remarks.content.optional(),
    unchecked: remarks.unchecked.optional(),
  }),
  trigger: z.enum(['start', 'schedule', 'manual', 'cli', 'safety']),
  user: z.string().nullable(),
  pinned: z.boolean(),
  note: z.string().nullable(),
  /** Made by `withBackup`: what the migration after it does to the database is meant. Nobody else can say so. */
  beforeMigration: z.literal(true).optional(),
  /** When it came from elsewhere, and its name there. Nobody knows of which moment it is, so it is used only by its name. */
  arrived: z.object({ at: time, file: z.string() }).optional(),
  /** How the copy was made; null for an adopted one. */
  copy: z
    .object({
      method: z.enum(['pinned-copy', 'pinned-clone', 'vacuum-into']),
      checkpoint: z.object({ busy: z.boolean(), logFrames: z.number(), mergedFrames: z.number() }).nullable(),
    })
    .nullable(),
  /** The live database's files under the pin; equal to today's means unchanged. */
  stamp: z.object({ main: fileStamp, wal: fileStamp.nullable(), recordedAtMs: z.number() }).nullable(),
  versions: z.object({ velistBackup: z.string(), sqlite: z.string(), runtime: z.string() }),
  /** Id of the database that it is of, as `database.json` of its place has it; early versions wrote none. */
  databaseId: z.string().optional(),
  /** The installation that made it: its random id, and the name of its host for people. */
  madeBy: z.object({ installation: z.string(), host: z.string() }).optional(),
  /** When its file in the folder was last written, as it was published, or when it was last found good. */
  published: z.object({ modifiedNs: z.string().regex(/^\d{1,25}$/) }).optional(),
  facts: databaseFacts.optional(),
  loss: lossMark.optional(),
  /**
   * What took the place of the database, for a safety backup. Written before it did, so that an undo exists from then on,
   * whatever becomes of the run; taken away when nothing was replaced.
   */
  replacedBy: z.string().optional(),
  /**
   * The captured moment of the stream beside it that is exactly what this backup holds, with its state, and what its first page
   * has there in fields that a backup has otherwise, all in hex digits.
   */
  position: z
    .object({
      bookmark: z.string().regex(/^[0-9a-f]{16}$/),
      state: z.string().regex(/^[0-9a-f]{16}$/),
      tag: z.int().min(1).max(0xffff_ffff),
      header: z.string().regex(/^[0-9a-f]{28}$/),
    })
    .optional(),
  /** The moment of an earlier backup, for a safety backup made while the clock stood before it. Its age counts from there. */
  madeAfter: time.optional(),
});

export type DatabaseFacts = z.infer<typeof databaseFacts>;
export type TableLoss = z.infer<typeof tableLoss>;
export type LossMark = z.infer<typeof lossMark>;

export type Manifest = z.infer<typeof manifestSchema>;
type Verification = Manifest['verification'];

/** @throws BackupError BAD_BACKUP when the text is not a manifest of the backup `name`. */
export function parseManifest(text: string, name: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw bad(name, 'is not JSON', cause);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    // Names in it are of whoever wrote it, and may be of any length.
    const where = visibleLine(issue?.path.join('.') || 'it').slice(0, 100);
    throw bad(name, `${where}: ${visibleLine(issue?.message ?? 'unreadable').slice(0, 200)}`);
  }
  if (parsed.data.name !== name) throw bad(name, 'names another backup');
  // What it names is read and removed: at a target anyone with the key can write one.
  if (parsed.data.artifact.file !== artifactFile(name, parsed.data.artifact))
    throw bad(name, 'artifact.file: names another');
  return parsed.data;
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** It holds what a restore replaced, or came from elsewhere: it says nothing of what the database was at its moment. */
export function isAside(manifest: Pick<Manifest, 'trigger' | 'arrived'> | null): boolean {
  return manifest !== null && (manifest.trigger === 'safety' || manifest.arrived !== undefined);
}

/** The manifest of a foreign file that was found good: its order is that of its name, its history unknown. */
export function adoptedManifest(
  backup: { readonly name: string; readonly createdAt: Date; readonly modifiedNs?: string },
  found: Manifest['database'] & Remarks & { readonly facts: DatabaseFacts | null; readonly sqlite: string },
  options: { readonly verifiedAt: Date; readonly source: string },
): Manifest {
  const { sizeBytes, pageSize, pages, sha256, facts, sqlite } = found;
  return {
    format: MANIFEST_FORMAT,
    name: backup.name,
    sequence: null,
    createdAt: backup.createdAt.toISOString(),
    source: { name: options.source, journalMode: null },
    database: { sizeBytes, pageSize, pages, sha256 },
    artifact: { file: backup.name, sizeBytes, sha256, compression: 'none', encryption: 'none' },
    verification: verificationOf('quick', options.verifiedAt, found),
    trigger: 'manual',
    user: null,
    pinned: false,
    note: null,
    copy: null,
    stamp: null,
    versions: versions(sqlite),
    ...(facts && { facts }),
    ...(backup.modifiedNs !== undefined && { published: { modifiedNs: backup.modifiedNs } }),
  };
}

/** The record of a check that the structure passed. */
export function verificationOf(method: 'quick' | 'full', at: Date, { content, unchecked }: Remarks): Verification {
  return {
    ...{ method, at: at.toISOString(), complaint: null },
    ...(content.length > 0 && { content: [...content] }),
    ...(unchecked.length > 0 && { unchecked: [...unchecked] }),
  };
}

/** What wrote a manifest. */
export function versions(sqlite: string): Manifest['versions'] {
  const bun = process.versions['bun'];
  return { velistBackup: VERSION, sqlite, runtime: bun ? `bun ${bun}` : `node ${process.versions.node}` };
}

function bad(name: string, what: string, cause?: unknown): BackupError {
  return new BackupError('BAD_BACKUP', `the manifest ${name}.json is unreadable: ${what}`, {
    hint: 'The database file beside it may still be good: verify it, or remove the manifest and adopt the file.',
    cause,
  });
}
