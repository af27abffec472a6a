/**
 * A backup that was made while commits were captured, and the captured moment at which its pin was taken: both came from the
 * database in different ways, so they are witnesses of each other. If they have one state, the manifest says so, and
 * the backup is a base of all moments that follow.
 */
import { closeSync, openSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Catalog } from '../catalog/folder-catalog.ts';
import { stateOfFile } from '../replication/materialize.ts';
import { inTurns } from '../replication/rest.ts';
import { headerFieldsOf } from '../replication/position.ts';
import { readHeader } from '../sqlite/header.ts';
import { BackupError } from '../../words/errors.ts';
import type { StoryContext } from '../../words/story.ts';
import type { BackupMoment } from './replicate.ts';

export interface BackupMomentRequest {
  readonly kind: 'backup-moment';
  /** The folder of the backups. */
  readonly backups: string;
  readonly name: string;
  readonly moment: BackupMoment;
}

export interface ComparedMoment {
  readonly isSame: boolean;
}

export async function compareWithMoment(
  { backups, name, moment }: BackupMomentRequest,
  { signal }: Pick<StoryContext, 'signal'>,
): Promise<ComparedMoment> {
  const catalog = new Catalog(backups);
  const state = await stateAsCaptured(join(backups, name), moment, signal);
  const isSame = state === BigInt(`0x${moment.state}`);
  if (isSame) await catalog.changeManifest(name, (manifest) => ({ ...manifest, position: moment }));
  return { isSame };
}

/** With the fields of the first page as they were in the database. The backup itself is only read. */
async function stateAsCaptured(path: string, { header }: BackupMoment, signal: AbortSignal): Promise<bigint> {
  const file = openSync(path, 'r');
  try {
    const pageSize = readHeader(file)?.pageSize;
    if (pageSize === undefined) throw noDatabase(path);
    const fields = Buffer.from(header, 'hex');
    const asCaptured = (first: Buffer) => {
      for (const [at, bytes] of headerFieldsOf(fields)) first.set(bytes, at);
    };
    return await inTurns(stateOfFile(file, pageSize, asCaptured), signal);
  } finally {
    closeSync(file);
  }
}

function noDatabase(path: string): BackupError {
  return new BackupError('BAD_BACKUP', `${basename(path)} does not begin like a SQLite database`, {
    hint: 'It was changed since it was published. Verify it, and make another backup.',
  });
}
