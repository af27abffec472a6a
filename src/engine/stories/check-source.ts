/** What a restore begins with: is this file one to restore from, and is it still the one that was checked? */
import { statSync } from 'node:fs';
import { BackupError } from '../../words/errors.ts';
import { isLiveFile } from '../sqlite/stamp.ts';
import { verifyFile } from '../sqlite/verify.ts';
import type { RestoreRequest } from './restore-request.ts';

/** A file that was found good. */
export interface Checked {
  /** Any other file, and any change of this one, has another. */
  readonly identity: string;
}

/** @throws BackupError BAD_BACKUP, VERIFY_FAILED: it is not a file to restore from. */
export async function checkSource(request: CheckedSource): Promise<Checked> {
  refuseUnfitSource(request);
  const identity = identityOf(request.source);
  await checkContent(request.source, request);
  return { identity };
}

type CheckedSource = Pick<RestoreRequest, 'source' | 'sourceName' | 'sha256' | 'databasePath'>;

export function refuseUnfitSource({ source, sourceName, databasePath }: CheckedSource): void {
  if (isLiveFile(source, databasePath)) {
    throw new BackupError('BAD_BACKUP', `${sourceName} is the live database itself`, {
      hint: 'Name a backup instead.',
    });
  }
  if ((statSync(`${source}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw new BackupError('BAD_BACKUP', `${sourceName} has a log beside it, ${sourceName}-wal, that is part of it`, {
      hint: 'The content of the log would be lost. Open and close the file once with SQLite, so that the log is merged.',
    });
  }
}

/** @param path the backup, or a copy of it. */
export async function checkContent(path: string, { sourceName, sha256: promised }: CheckedSource): Promise<void> {
  const { sha256 } = await verifyFile(path, { method: 'quick' });
  if (promised !== null && sha256 !== promised) {
    throw new BackupError('VERIFY_FAILED', `${sourceName} is not the file that its manifest describes`, {
      hint: 'It was changed after it was made. Use another backup.',
    });
  }
}

/** The time of its last change can't be set by a program, unlike that of its last write. */
export function identityOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found ? [found.dev, found.ino, found.size, found.ctimeNs].join(' ') : 'gone';
}

/** Minutes may pass between the check and the replacement, while the safety backup is made. */
export function checkStillTheSame(request: CheckedSource, { identity }: Checked): void {
  if (identityOf(request.source) !== identity) throw changedMeanwhile(request);
}

export function changedMeanwhile({ sourceName }: Pick<CheckedSource, 'sourceName'>): BackupError {
  return new BackupError('VERIFY_FAILED', `${sourceName} was changed or replaced after it was checked`, {
    hint: 'Nothing was changed. Something else writes to the backup folder; verify the backup again.',
  });
}
