/** How a backup of the folder, or one that is elsewhere alone, is told to the outside. */
import { type SealName, sealName } from '../../engine/format/seal.ts';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import type { LossMark } from '../../engine/format/manifest.ts';
import { isVerified } from '../../engine/catalog/retention.ts';
import { changesBetween, totalRows } from '../protection/differences.ts';
import type { BackupItem, Loss, OtherDatabase, Placement, Verification } from './shown-backup.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { UploadState } from '../state/target-state.ts';
import { ofList } from '../of-list.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { RemoteBackup } from '../../engine/catalog/store-catalog.ts';

/** A backup of another database than ours has `other`. */
export type KnownBackup = (Backup | TargetBackup) & { readonly other?: OtherDatabase };

interface ItemFacts {
  /** The backup of this database before it; null when there is none. */
  readonly before: KnownBackup | null;
  readonly isLocal: boolean;
  /** As configured. */
  readonly folder: string;
  readonly remotes: readonly RemoteFacts[];
}

/** What is known of the backup at one target beside the folder. */
export interface RemoteFacts {
  readonly target: TargetName;
  /** Such as `s3://bucket/path`. */
  readonly address: string;
  readonly isEnabled: boolean;
  /** How long a read of it has to wait; null if it has not. */
  readonly takes?: string | null;
  /** The same backup as the target held it when it was listed. */
  readonly remote: TargetBackup | null;
  readonly upload: UploadState | undefined;
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
    ...(manifest?.arrived && { arrived: true }),
    sha256: manifest?.database.sha256 ?? null,
    pages: manifest?.database.pages ?? null,
    pageSize: manifest?.database.pageSize ?? null,
    placements: [...toPlacements(backup, facts)],
    other: backup.other ?? null,
    rows: totalRows(manifest?.facts),
    changes: changesBetween(facts.before, backup),
    loss: manifest?.loss ? toLoss(manifest.loss) : null,
  };
}

export function toLoss({ accepted, ...mark }: LossMark): Loss {
  return { ...mark, accepted: accepted && { at: new Date(accepted.at), user: accepted.user } };
}

export const ownOf = ofList((backups: readonly KnownBackup[]) => backups.filter(isOwn));
export const hereOf = ofList((backups: readonly KnownBackup[]) => backups.filter(isHere));

/** True for a backup of our database, or for a file that says nothing. */
export function isOwn(backup: KnownBackup): boolean {
  return backup.other === undefined;
}

/** True for a backup of the folder. */
export function isHere(backup: KnownBackup): backup is Backup & Pick<KnownBackup, 'other'> {
  return 'path' in backup;
}

function* toPlacements(backup: KnownBackup, facts: ItemFacts): Generator<Placement> {
  if (facts.isLocal) {
    const here = { where: `${facts.folder}/${backup.name}`, sizeBytes: backup.sizeBytes };
    yield { target: 'local', status: 'stored', at: backup.createdAt, error: null, ...here };
  }
  for (const remote of facts.remotes) yield* toPlacement(backup, remote);
}

function* toPlacement(backup: KnownBackup, facts: RemoteFacts): Generator<Placement> {
  const { target, address, isEnabled, remote, upload, takes } = facts;
  const noted = upload?.status === 'stored' ? upload.sealing : null;
  const sealing = noted ?? (remote?.manifest ? sealName(remote.manifest.artifact) : undefined);
  const there = {
    where: sealing ? `${address}/${backup.name}${endings[sealing]}` : null,
    sizeBytes: remote?.manifest?.artifact.sizeBytes ?? (sealing === 'plain' ? backup.sizeBytes : null),
  };
  const nowhere = { where: null, sizeBytes: null };
  if (remote?.fault) {
    const hint = 'Look at it there, or delete it.';
    const error = { code: 'BAD_BACKUP', message: `on ${targetWord(target)}: ${remote.fault}`, hint } as const;
    yield { target, status: 'failed', at: null, error, ...there };
  } else if (upload?.status === 'stored' || (remote && upload?.status !== 'removed')) {
    yield {
      target,
      status: 'stored',
      at: upload?.at ?? backup.createdAt,
      error: null,
      ...there,
      ...(sealing && { sealing }),
      ...(remote?.archive && takes && { archive: { storageClass: remote.archive, takes } }),
    };
  } else if (upload?.status === 'failed') {
    yield { target, status: 'failed', at: upload.at, error: upload.error, ...nowhere };
  } else if (!upload && isEnabled && backup.manifest && !backup.fault) {
    yield { target, status: 'waiting', at: null, error: null, ...nowhere };
  }
}

/** The endings of sealed artifacts' names, as `artifactFile` appends them. */
const endings: Readonly<Record<SealName, string>> = { plain: '', zstd: '.zst', age: '.age', 'zstd+age': '.zst.age' };

function toVerification({ manifest, fault, createdAt, changedAt }: KnownBackup): Verification {
  if (fault) return { state: 'damaged', method: 'quick', at: createdAt, detail: fault };
  if (!manifest) return { state: 'unchecked' };
  const { method, at, complaint, content = [], unchecked = [] } = manifest.verification;
  if (complaint !== null) return { state: 'damaged', method, at: new Date(at), detail: complaint };
  if (changedAt) return { state: 'unchecked', changedAt };
  const remarks = remarkTexts({ content, unchecked });
  return { state: 'verified', method, at: new Date(at), content, unchecked, remarks };
}

/** A backup as one target holds it. */
export type TargetBackup = RemoteBackup & {
  readonly target: TargetName;
  /** The place that the target had when it was seen there: its path may change. */
  readonly place: string;
};
