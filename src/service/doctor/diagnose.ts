/** Everything that the doctor looks at, gathered; what it finds in that is decided in `findings.ts`. */
import { basename } from 'node:path';
import type { Manifest } from '../../engine/format/manifest.ts';
import { isPath, refuseUnreadable } from '../../engine/stories/assertions.ts';
import { diskRoom } from '../../engine/disk/share.ts';
import { isLiveFile } from '../../engine/sqlite/stamp.ts';
import { hoursOf } from '../../engine/store/s3/archive-classes.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { isOwn, isSound } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { DoctorReport, Status } from '../model.ts';
import type { LookAtAll } from '../protection/look-at-all.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { Rhythm } from '../runs/rhythm.ts';
import { asideOf } from '../state/state-database.ts';
import type { Offsite } from '../targets/remote-target.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { type S3Target, targetWord } from '../targets/targets.ts';
import {
  type DoctorFacts,
  lookAtDatabase,
  lookAtFolder,
  modeOf,
  openSecretsAmong,
  plainHostOf,
  servedAs,
  setAsideIn,
} from './facts.ts';
import { findAll, isOfWeight } from './findings.ts';

export interface DiagnoseParts {
  readonly backups: Backups;
  readonly look: LookAtAll;
  readonly rhythm: Rhythm;
  readonly targets: RemoteTargets;
  /** The owner's SQL for drills, or the absolute path of the file with it. */
  readonly assertions: string | null;
}

/** A reader seen by this many consecutive backups is holding the log open. */
const CHECKPOINTS_LOOKED_AT = 3;

export async function diagnose(
  context: ServiceContext,
  parts: DiagnoseParts,
  { askTargets }: { readonly askTargets: boolean },
): Promise<DoctorReport> {
  const { options, database, folder, statePath, settings, now, jobs } = context;
  const { known, status, complaint } = await lookAtBackups(parts);
  const examined = await jobs.run<'examine'>({ kind: 'examine', databasePath: database.path });
  const looked = lookAtDatabase(database.path, database.named);
  const findings = findAll({
    now: now(),
    sqlite: examined,
    database: {
      ...looked,
      isLost: status?.freshness.cause === 'missing',
      journalMode: examined.journalMode,
      replicators: [...looked.replicators, ...examined.replicatorTables],
      complaint: examined.complaint,
    },
    folder: {
      ...lookAtFolder(folder.path, folder.named),
      ...{ complaint, count: known.length, fitting: status?.local.forecast.fitting ?? null },
      freeBytes: diskRoom(folder.path).freeBytes,
    },
    state: { path: options.statePath, mode: modeOf(statePath) },
    openSecrets: openSecretsAmong(options.secretFiles ?? []),
    settingsComplaint: settings.complaint,
    setAside: [...asideOf(statePath), ...setAsideIn(folder.path)].map((path) => basename(path)),
    servedAs: servedAs({ backups: folder.path, state: statePath }, options.served?.folders ?? []),
    unmergedBytes: known
      .flatMap(({ copy, database: { pageSize } }) =>
        copy?.checkpoint ? (copy.checkpoint.logFrames - copy.checkpoint.mergedFrames) * pageSize : [],
      )
      .slice(0, CHECKPOINTS_LOOKED_AT),
    newestAt: known[0] ? new Date(known[0].createdAt) : null,
    loss: status?.loss ?? null,
    stalledSince: status?.schedule.stalledSince ?? null,
    remarks: remarksOf(known[0]),
    settings: settings.current,
    gapMinutes: parts.rhythm.gapMinutes(),
    door: options.door ?? null,
    ...(await testBuckets(context, parts.targets, askTargets)),
    archived: parts.targets.enabled.flatMap(archivedNewest),
    places: status?.places ?? [],
    drills: {
      complaint: complaintOf(parts.assertions, database.path),
      targets: status?.freshness.targets ?? [],
    },
  });
  return { ok: !findings.some(isOfWeight), findings };
}

/** What can't be listed is a finding, and the other findings are wanted all the more. */
async function lookAtBackups({ look, backups }: DiagnoseParts): Promise<{
  readonly known: readonly Manifest[];
  readonly status: Status | null;
  readonly complaint: ErrorBody | null;
}> {
  let status: Status | null = null;
  try {
    status = await look.status();
    const own = (await backups.at('local')).filter(isOwn);
    return { known: own.flatMap(({ manifest }) => manifest ?? []), status, complaint: null };
  } catch (error) {
    return { known: [], status, complaint: BackupError.from(error).toJSON() };
  }
}

async function testBuckets(
  { options: { s3, targets = [], served }, settings }: ServiceContext,
  remote: RemoteTargets,
  isAsked: boolean,
): Promise<Pick<DoctorFacts, 's3' | 'targets'>> {
  const about = (bucket: S3Target | null | undefined) => ({
    plainHost: plainHostOf(bucket?.endpoint),
    isEncrypted: (bucket?.sealing?.recipients.length ?? 0) > 0,
    isAlsoPublic: bucket != null && (served?.buckets.includes(bucket.bucket) ?? false),
    lifecycleDays: bucket?.lifecycleDays ?? null,
  });
  const further: DoctorFacts['targets'][number][] = [];
  for (const target of targets) {
    const { name } = target;
    further.push({ name, ...about(target), test: isAsked ? await remote.test(name) : null });
  }
  const isS3Asked = isAsked && (targets.length === 0 || settings.current.s3Enabled);
  return { s3: { ...about(s3), test: isS3Asked ? await remote.test('s3') : null }, targets: further };
}

function archivedNewest({ backups, target, access: { s3 } }: Offsite): DoctorFacts['archived'] {
  const storageClass = backups.find(isSound)?.archive;
  const takes = hoursOf(storageClass, s3.endpoint ?? '');
  return storageClass && takes ? [{ word: targetWord(target), storageClass, takes }] : [];
}

/** Why the owner's SQL can't be read. */
function complaintOf(sql: string | null, databasePath: string): ErrorBody | null {
  try {
    if (sql === null) return null;
    refuseUnreadable(sql);
    if (!isPath(sql) || !isLiveFile(sql, databasePath)) return null;
    throw new BackupError('BAD_CONFIG', 'BACKUP_DRILL_SQL names the live database', {
      hint: 'Name a file with SQL statements, or write one statement that begins with SELECT.',
    });
  } catch (error) {
    return BackupError.from(error).toJSON();
  }
}

function remarksOf(manifest: Manifest | undefined): readonly string[] {
  const { content = [], unchecked = [] } = manifest?.verification ?? {};
  return remarkTexts({ content, unchecked });
}
