/** How a backup of the folder, or one that is at S3 alone, is told to the outside. */
import { type SealName, sealName } from '../engine/artifact.ts';
import type { Backup } from '../engine/catalog/catalog.ts';
import type { RemoteBackup } from '../engine/catalog/remote-catalog.ts';
import { isVerified } from '../engine/retention.ts';
import type { BackupItem, Placement, Verification } from './model.ts';
import type { UploadState } from './offsite-state.ts';

export type KnownBackup = Backup | RemoteBackup;

export interface ItemFacts {
  readonly isLocal: boolean;
  /** The same backup as S3 held it when it was listed. */
  readonly remote: RemoteBackup | undefined;
  readonly upload: UploadState | undefined;
  readonly s3Enabled: boolean;
  /** As configured: the folder, and `s3://bucket/prefix`; null where no S3 is. */
  readonly places: { readonly local: string; readonly s3: string | null };
}

export function toBackupItem(backup: KnownBackup, facts: ItemFacts): BackupItem {
  const { manifest } = backup;
  return {
    filename: backup.name,
    size: backup.sizeBytes,
    createdAt: backup.createdAt,
    trigger: manifest?.trigger ?? null,
    user: manifest?.user ?? null,
    verified: isVerified(backup),
    verification: toVerification(backup),
    foreign: manifest === null && isHere(backup),
    pinned: manifest?.pinned ?? false,
    note: manifest?.note ?? null,
    safety: manifest?.trigger === 'safety',
    sha256: manifest?.database.sha256 ?? null,
    pages: manifest?.database.pages ?? null,
    pageSize: manifest?.database.pageSize ?? null,
    placements: [...toPlacements(backup, facts)],
  };
}

/** True for a backup of the folder. */
export function isHere(backup: KnownBackup): backup is Backup {
  return 'path' in backup;
}

function* toPlacements(backup: KnownBackup, facts: ItemFacts): Generator<Placement> {
  const { remote, upload, s3Enabled, places } = facts;
  if (facts.isLocal) {
    const here = { where: `${places.local}/${backup.name}`, sizeBytes: backup.sizeBytes };
    yield { target: 'local', status: 'stored', at: backup.createdAt, error: null, ...here };
  }
  const sealing = upload?.sealing ?? (remote?.manifest ? sealName(remote.manifest.artifact) : undefined);
  const there = {
    where: places.s3 && sealing ? `${places.s3}/${backup.name}${endings[sealing]}` : null,
    sizeBytes: remote?.manifest?.artifact.sizeBytes ?? (sealing === 'plain' ? backup.sizeBytes : null),
  };
  const nowhere = { where: null, sizeBytes: null };
  if (remote?.fault) {
    const hint = 'Look at it in the bucket, or delete it there.';
    const error = { code: 'BAD_BACKUP', message: `on S3: ${remote.fault}`, hint } as const;
    yield { target: 's3', status: 'failed', at: null, error, ...there };
  } else if (upload?.status === 'stored' || (remote && upload?.status !== 'removed')) {
    yield {
      target: 's3',
      status: 'stored',
      at: upload?.at ?? backup.createdAt,
      error: null,
      ...there,
      ...(sealing && { sealing }),
    };
  } else if (upload?.status === 'failed') {
    yield { target: 's3', status: 'failed', at: upload.at, error: upload.error, ...nowhere };
  } else if (!upload && s3Enabled && backup.manifest && !backup.fault) {
    yield { target: 's3', status: 'waiting', at: null, error: null, ...nowhere };
  }
}

/** Of the names of sealed artifacts, as `artifactFile` appends them. */
const endings: Readonly<Record<SealName, string>> = { plain: '', zstd: '.zst', age: '.age', 'zstd+age': '.zst.age' };

function toVerification({ manifest, fault, createdAt }: KnownBackup): Verification {
  if (fault) return { state: 'damaged', method: 'quick', at: createdAt, detail: fault };
  if (!manifest) return { state: 'unchecked' };
  const { method, at, complaint } = manifest.verification;
  if (complaint === null) return { state: 'verified', method, at: new Date(at) };
  return { state: 'damaged', method, at: new Date(at), detail: complaint };
}
