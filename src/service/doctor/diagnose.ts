/** Everything that the doctor looks at, gathered; what it finds in that is decided in `findings.ts`. */
import { basename } from 'node:path';
import type { Manifest } from '../../engine/format/manifest.ts';
import { isPath, refuseUnreadable } from '../../engine/stories/assertions.ts';
import { diskRoom } from '../../engine/disk/share.ts';
import { isLiveFile } from '../../engine/sqlite/stamp.ts';
import { archiveHoursOf, lifecycleDaysOf, risksOf, wordsOf } from '../../engine/store/kinds.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { targetWord } from '../../words/target-word.ts';
import { isHere, isOwn } from '../backups/backup-item.ts';
import { type Backups, placeOf } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { DoctorReport } from './finding.ts';
import type { Status } from '../protection/shown-status.ts';
import { knownGood } from '../restores/recovery-kit.ts';
import type { LookAtAll } from '../protection/look-at-all.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { Rhythm } from '../runs/rhythm.ts';
import { asideOf } from '../state/state-database.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { remoteTargets, type TargetSetup } from '../targets/targets.ts';
import {
  type DoctorFacts,
  lookAtDatabase,
  lookAtFolder,
  modeOf,
  openSecretsAmong,
  servedAs,
  setAsideIn,
} from './facts.ts';
import { findAll, isOfWeight } from './findings.ts';

interface DiagnoseParts {
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
  const { options, database, folder, statePath, settings, credentials, now, jobs } = context;
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
    openSecrets: openSecretsAmong([...(options.secretFiles ?? []), credentials.path]),
    settingsComplaint: settings.complaint,
    credentialsComplaint: credentials.complaint,
    setUpConflicts: Object.values(context.targetsAt(settings.current).conflicts).flatMap(
      (conflict) => conflict?.message ?? [],
    ),
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
    continuous: status?.continuous ?? null,
    remarks: remarksOf(known[0]),
    settings: settings.current,
    gapMinutes: parts.rhythm.gapMinutes(),
    door: options.door ?? null,
    ...(await testTargets(context, parts.targets, askTargets)),
    archived: parts.targets.enabled.flatMap((remote) => archivedNewest(remote, now())),
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

const NO_RISKS = {
  plainHost: null,
  isAlsoPublic: false,
  isOnSameDisk: false,
  isEncrypted: false,
  words: wordsOf({ kind: 's3' }),
} as const;

async function testTargets(
  { options, targets, settings, database }: ServiceContext,
  remote: RemoteTargets,
  isAsked: boolean,
): Promise<Pick<DoctorFacts, 's3' | 'targets'>> {
  const { folders: publicFolders = [], buckets: publicBuckets = [] } = options.served ?? {};
  const about = (access: TargetSetup) => ({
    ...risksOf(access, { databasePath: database.path, publicBuckets, publicFolders }),
    words: wordsOf(access),
    isEncrypted: (access.sealing?.recipients.length ?? 0) > 0,
    lifecycleDays: lifecycleDaysOf(access),
  });
  const configured = remoteTargets(targets, settings.current);
  const further: DoctorFacts['targets'][number][] = [];
  for (const { name, access } of configured.filter((target) => target.name !== 's3'))
    further.push({ name, ...about(access), test: isAsked ? await remote.test(name) : null });
  const s3 = configured.find(({ name }) => name === 's3');
  const isS3Asked = isAsked && ((targets.targets ?? []).length === 0 || settings.current.s3Enabled);
  const test = isS3Asked ? await remote.test('s3') : null;
  return { s3: { ...(s3 ? about(s3.access) : NO_RISKS), test }, targets: further };
}

function archivedNewest(remote: RemoteTarget, now: Date): DoctorFacts['archived'] {
  const { target, access } = remote;
  const [newest] = knownGood([placeOf(remote)], now);
  const storageClass = newest && !isHere(newest) ? newest.archive : null;
  const takes = archiveHoursOf(access.access, storageClass);
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
