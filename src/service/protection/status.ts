/** What the page and `status` show, put together from what the service knows at one moment. Pure. */
import type { ErrorBody } from '../../words/errors.ts';
import { isAside } from '../../engine/format/manifest.ts';
import type { DiskRoom } from '../../engine/disk/share.ts';
import { type FolderRetention, isUnsure, isVerified } from '../../engine/catalog/retention.ts';
import { VERSION } from '../../version.ts';
import { hereOf, type KnownBackup } from '../backups/backup-item.ts';
import { type FailedCheck, failedCheckText } from './failed-checks.ts';
import { assessFreshness, type DrillsOf } from './freshness.ts';
import type { BackupItem, Placement } from '../backups/shown-backup.ts';
import type { Status, TargetStatus } from './shown-status.ts';
import { behindTooLong, type ContinuousStatus } from '../continuous/continuous-status.ts';
import { judge, type Verdict, type VerdictInput } from './verdict.ts';
import type { Settings } from '../state/backup-config.ts';
import type { Run, RunProgress } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';
import { ofList } from '../of-list.ts';
import { forecastRetention } from './retention-forecast.ts';

export interface StatusFacts {
  readonly now: Date;
  readonly settings: Settings;
  /** Newest first; `items` are the same backups as the outside sees them. */
  readonly backups: readonly KnownBackup[];
  readonly items: readonly BackupItem[];
  readonly database: Omit<Status['database'], 'growthBytes'>;
  readonly cron: string | null;
  readonly nextRunAt: Date | null;
  readonly stalledSince?: Date | null;
  /** Between two planned backups. */
  readonly gapMinutes: { readonly shortest: number; readonly longest: number };
  readonly localPath: string;
  readonly disk: DiskRoom;
  readonly retention: Required<FolderRetention>;
  /** Each that is configured beside the folder. */
  readonly targets: readonly Omit<TargetStatus, 'stored' | 'waiting'>[];
  readonly run: RunProgress | null;
  readonly lastRun: Run | null;
  readonly lastBackupRun: Run | null;
  readonly lastUnchangedRun: Run | null;
  readonly drills: DrillsOf;
  /** The first one decides what the verdict says. */
  readonly failedChecks: readonly FailedCheck[];
  /** The last one, unless a person has put it away. */
  readonly shownRestore: Run | null;
  /** A backup run succeeded once, as far as the history goes. */
  readonly wasBackedUp: boolean;
  /** The file of the database is gone, or was never there. */
  readonly isMissing: boolean;
  /** Why the folder could not be listed. */
  readonly unlisted: ErrorBody | null;
  /** A backup that was made here, is not in the folder, and that nobody is known to have removed. */
  readonly vanished: string | null;
  /** The folder, and each target that is on. */
  readonly places: Status['places'];
  readonly isUploading: (backup: string, target: TargetName) => boolean;
  /** Another process is uploading to it. */
  readonly isBusyElsewhere: (target: TargetName) => boolean;
  readonly undo: Status['undo'];
  /** The open alarm. */
  readonly loss: Status['loss'];
  /** Null where continuous backup is off. */
  readonly continuous?: ContinuousStatus | null;
  /** A target holds backups that this installation made and does not remember. */
  readonly setBack?: { readonly target: TargetName; readonly backup: string } | null;
}

/** The longest planned gap, and so many backups more that did not come. */
const MISSED_MAX = 2;
const DAY_MS = 86_400_000;
const MAX_AGE_LEAST_MINUTES = 15;

export function composeStatus(facts: StatusFacts): Status {
  const { settings, run } = facts;
  const known = know(facts);
  const { own, targets, judged } = known;
  return {
    serverTime: facts.now,
    version: VERSION,
    verdict: judge(judged),
    freshness: assessFreshness({
      ...judged,
      verdict: lastingVerdict(judged),
      changedAt: facts.database.changedAt,
      items: facts.items,
      lastUnchangedRun: facts.lastUnchangedRun,
      remotes: targets.filter(({ enabled }) => enabled).map(({ target }) => target),
      drills: facts.drills,
      failedChecks: facts.failedChecks,
    }),
    database: { ...facts.database, growthBytes: growthOf(own, facts.now) },
    schedule: {
      enabled: settings.enabled,
      running: facts.nextRunAt !== null,
      intervalMinutes: settings.intervalMinutes,
      cron: facts.cron,
      nextRunAt: facts.nextRunAt,
      stalledSince: facts.stalledSince ?? null,
    },
    local: localOf(facts),
    s3: s3Of(settings, targets),
    targets,
    lastGood: lastGoodOf(known),
    failedCheck: firstOf(facts.failedChecks),
    maxAgeMinutes: known.maxAgeMinutes,
    run,
    lastRun: facts.lastRun,
    lastBackupRun: facts.lastBackupRun,
    places: facts.places,
    loss: facts.loss,
    ...(facts.continuous && { continuous: facts.continuous }),
    // A safety backup goes over a database, and there is none.
    undo: facts.isMissing ? null : facts.undo,
  };
}

/** What follows from the facts, and is needed more than once. */
interface Known {
  readonly own: readonly KnownBackup[];
  readonly good: KnownBackup | null;
  readonly holdsAt: Date | null;
  readonly maxAgeMinutes: number;
  readonly targets: readonly TargetStatus[];
  readonly judged: VerdictInput;
}

/** An unreadable manifest is a damaged backup of ours; a file without one is somebody else's. */
const madeHere = ofList((backups: readonly KnownBackup[]) =>
  backups.filter((backup) => backup.manifest ?? backup.fault),
);

function know(facts: StatusFacts): Known {
  const { settings, backups, gapMinutes } = facts;
  const own = madeHere(backups);
  // A safety backup holds what a restore replaced; another may be from elsewhere.
  const good = backups.find((backup) => isVerified(backup) && !isAside(backup.manifest)) ?? null;
  const holdsAt = good && heldUntil(good, facts.lastUnchangedRun);
  const maxAgeMinutes =
    settings.maxAgeMinutes ?? Math.max(MAX_AGE_LEAST_MINUTES, gapMinutes.longest + MISSED_MAX * gapMinutes.shortest);
  const targets = facts.targets.map((target) => countedAt(target, facts.items));
  const known = { own, good, holdsAt, maxAgeMinutes, targets };
  return { ...known, judged: toJudge(facts, known) };
}

function toJudge(facts: StatusFacts, { own, holdsAt, maxAgeMinutes, targets }: Omit<Known, 'judged'>): VerdictInput {
  const [newest] = own;
  const enabled = targets.filter((target) => target.enabled);
  const without = newest
    ? enabled.filter(
        (target) => !isAt(target.target, newest.name, facts) && !isComing(target, newest, { maxAgeMinutes, facts }),
      )
    : [];
  return {
    now: facts.now,
    run: facts.run,
    lastBackupRun: facts.lastBackupRun,
    lastRestore: facts.shownRestore,
    hasBackup: own.length > 0,
    file: !facts.isMissing ? 'there' : own.length > 0 || facts.wasBackedUp ? 'missing' : 'awaited',
    newestDamaged: Boolean(newest && !isVerified(newest) && !isUnsure(newest)),
    newestChanged: newest && isUnsure(newest) ? newest.name : null,
    vanished: facts.vanished,
    unlisted: facts.unlisted,
    hasLoss: facts.loss !== null,
    failedCheck: facts.failedChecks[0] ? failedCheckText(facts.failedChecks[0]) : null,
    notAt: newest && without.length > 0 ? { backup: newest.name, targets: without.map(({ target }) => target) } : null,
    goodAt: holdsAt,
    maxAgeMs: maxAgeMinutes * 60_000,
    writerAt: writerAt(facts.places),
    foreign: facts.places.flatMap(({ target, owner, other }) =>
      owner === 'foreign' && other ? [{ target, name: other.name }] : [],
    ),
    setBack: facts.setBack ?? null,
    remoteFailing: enabled.some(({ error }) => error !== null),
    scheduleEnabled: facts.settings.enabled,
    stalledSince: facts.stalledSince ?? null,
    ...ofStream(facts),
    freeBytes: facts.disk.freeBytes,
    databaseBytes: facts.database.sizeBytes,
  };
}

function ofStream({ continuous, now }: StatusFacts): Pick<VerdictInput, 'untrue' | 'notCaptured' | 'behind'> {
  const untrue = continuous?.untrue ? `${continuous.untrue.error.message}. ${continuous.untrue.error.hint}` : null;
  const behind = continuous ? behindTooLong(continuous, now) : [];
  return {
    ...{ untrue, notCaptured: continuous?.concern ?? null },
    behind: behind.flatMap(({ name: target, behindSince: since, error }) =>
      since === null ? [] : { target, since, why: error?.message ?? null },
    ),
  };
}

function localOf({ settings, backups, database, disk, ...facts }: StatusFacts): Status['local'] {
  const copies = hereOf(backups);
  const { now, retention } = facts;
  return {
    path: facts.localPath,
    count: copies.length,
    keep: settings.retentionCount,
    sizeBytes: sizeOf(copies),
    freeBytes: disk.freeBytes,
    forecast: forecastRetention({ copies, databaseBytes: database.sizeBytes, retention, disk, now }),
  };
}

const sizeOf = ofList((copies: readonly KnownBackup[]) => copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));

function s3Of(settings: Settings, targets: readonly TargetStatus[]): Status['s3'] {
  const s3 = targets.find(({ target }) => target === 's3');
  return {
    enabled: settings.s3Enabled,
    configured: s3 !== undefined,
    bucket: s3?.bucket ?? null,
    path: settings.s3Path,
    stored: s3?.stored ?? 0,
    waiting: s3?.waiting ?? 0,
    nextTryAt: s3?.nextTryAt ?? null,
    error: s3?.error ?? null,
    listedAt: s3?.listedAt ?? null,
  };
}

function lastGoodOf({ good, holdsAt }: Known): Status['lastGood'] {
  if (!good?.manifest || !holdsAt) return null;
  const { name: filename, createdAt, manifest } = good;
  return { filename, createdAt, verifiedAt: new Date(manifest.verification.at), holdsAt };
}

function firstOf([first, ...others]: readonly FailedCheck[]): Status['failedCheck'] {
  return first ? { ...first, more: others.length } : null;
}

/** As if nothing was running. A loss that nobody answers for weeks hides no backup that is damaged or too old. */
function lastingVerdict(judged: VerdictInput): Verdict['code'] {
  const lasting = { ...judged, run: null, lastRestore: null };
  const { code, tone } = judge({ ...lasting, hasLoss: false });
  return tone === 'red' ? code : judge(lasting).code;
}

/** The first place where another machine writes, or wanted to. */
function writerAt(places: Status['places']): VerdictInput['writerAt'] {
  for (const { target, writer } of places) if (writer) return { target, ...writer };
  return null;
}

/**
 * From the oldest backup of the last 24 hours to the newest. Of backups alone: the live database's own size holds its
 * write-ahead log, which is no growth.
 */
function growthOf(backups: readonly KnownBackup[], now: Date): number | null {
  const ageMs = ({ createdAt }: KnownBackup) => now.getTime() - createdAt.getTime();
  const isOfDay = (backup: KnownBackup) => ageMs(backup) >= 0 && ageMs(backup) <= DAY_MS;
  const good = goodOf(backups);
  const [newest, oldest] = [good.find(isOfDay), good.findLast(isOfDay)];
  return newest && oldest ? newest.sizeBytes - oldest.sizeBytes : null;
}

const goodOf = ofList((backups: readonly KnownBackup[]) => backups.filter(isVerified));

function isPlaced(placements: BackupItem['placements'], target: Placement['target'], status: Placement['status']) {
  return placements.some((placement) => placement.target === target && placement.status === status);
}

function countedAt(status: StatusFacts['targets'][number], items: readonly BackupItem[]): TargetStatus {
  const { target, enabled } = status;
  const isWaiting = ({ placements }: BackupItem) =>
    isPlaced(placements, 'local', 'stored') &&
    (isPlaced(placements, target, 'waiting') || isPlaced(placements, target, 'failed'));
  return {
    ...status,
    stored: items.filter(({ placements }) => isPlaced(placements, target, 'stored')).length,
    waiting: enabled ? items.filter(isWaiting).length : 0,
  };
}

/** Seen there, or on its way. */
function isAt(target: TargetName, name: string, { items, isUploading }: StatusFacts): boolean {
  const item = items.find(({ filename }) => filename === name);
  return (item && isPlaced(item.placements, target, 'stored')) || isUploading(name, target);
}

/**
 * On its way by another process: the only one that waits, not tried yet, and young. Of several nobody can tell which is
 * being sent, and an upload that hangs is none.
 */
function isComing(
  { target, waiting }: TargetStatus,
  { name, createdAt }: KnownBackup,
  { maxAgeMinutes, facts }: { readonly maxAgeMinutes: number; readonly facts: StatusFacts },
): boolean {
  const item = facts.items.find(({ filename }) => filename === name);
  const ageMs = Math.abs(facts.now.getTime() - createdAt.getTime());
  const isNext = waiting === 1 && item !== undefined && isPlaced(item.placements, target, 'waiting');
  return isNext && ageMs <= maxAgeMinutes * 60_000 && facts.isBusyElsewhere(target);
}

/** When the newest good backup was last known to hold: an unchanged run renews it. */
function heldUntil(good: KnownBackup, unchanged: Run | null): Date {
  return unchanged?.backup === good.name && unchanged.endedAt > good.createdAt ? unchanged.endedAt : good.createdAt;
}
