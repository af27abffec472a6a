/** How a backup of the catalog is told to the outside. */
import type { Backup } from '../engine/catalog/catalog.ts';
import { isVerified } from '../engine/retention.ts';
import type { BackupItem, Placement, Verification } from './model.ts';
import type { UploadState } from './run-history.ts';

export function toBackupItem(
  backup: Backup,
  options: { upload: UploadState | undefined; s3Enabled: boolean },
): BackupItem {
  const { manifest } = backup;
  return {
    filename: backup.name,
    size: backup.sizeBytes,
    createdAt: backup.createdAt,
    trigger: manifest?.trigger ?? null,
    user: manifest?.user ?? null,
    verified: isVerified(backup),
    verification: toVerification(backup),
    foreign: manifest === null,
    pinned: manifest?.pinned ?? false,
    note: manifest?.note ?? null,
    safety: manifest?.trigger === 'safety',
    sha256: manifest?.artifact.sha256 ?? null,
    pages: manifest?.database.pages ?? null,
    pageSize: manifest?.database.pageSize ?? null,
    placements: [...toPlacements(backup, options)],
  };
}

function* toPlacements(
  backup: Backup,
  { upload, s3Enabled }: { upload: UploadState | undefined; s3Enabled: boolean },
): Generator<Placement> {
  yield { target: 'local', status: 'stored', at: backup.createdAt, error: null };
  if (upload) yield { target: 's3', status: upload.status, at: upload.at, error: upload.error };
  else if (s3Enabled && backup.manifest) yield { target: 's3', status: 'waiting', at: null, error: null };
}

function toVerification({ manifest, fault, createdAt }: Backup): Verification {
  if (fault) return { state: 'damaged', method: 'quick', at: createdAt, detail: fault };
  if (!manifest) return { state: 'unchecked' };
  const { method, at, complaint } = manifest.verification;
  if (complaint === null) return { state: 'verified', method, at: new Date(at) };
  return { state: 'damaged', method, at: new Date(at), detail: complaint };
}
