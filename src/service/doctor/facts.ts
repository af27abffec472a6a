/**
 * Gathers what the doctor judges: by `stat`, by what the system tells of its mounts, and by a job that looks into the
 * database. Nothing here opens it.
 */
import { accessSync, constants, existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { OWN_FOLDER } from '../../engine/catalog/identity.ts';
import type { ErrorBody } from '../../words/errors.ts';
import { isIn, type Mount, mountOf, readMounts } from '../../engine/sqlite/mounts.ts';
import { realPathOfFile } from '../../engine/sqlite/real-path.ts';
import { type Doubt, doubtsAbout } from '../../engine/sqlite/sharing.ts';
import type { ContinuousStatus } from '../continuous/continuous-status.ts';
import type { TargetFreshness } from '../protection/freshness.ts';
import type { Risks } from '../../engine/store/kinds.ts';
import type { StoreWords } from '../../engine/store/store.ts';
import type { TargetReport } from '../../engine/store/self-test.ts';
import type { Status } from '../protection/shown-status.ts';
import type { Settings } from '../state/backup-config.ts';
import type { TargetName } from '../../words/target-word.ts';
import { holdsOthersFiles } from '../protection/open-folder.ts';
import type { Examined } from '../../engine/stories/look.ts';

export interface DoctorFacts {
  readonly now: Date;
  readonly sqlite: Pick<Examined, 'sqlite' | 'hasWalResetBug' | 'missesLostLocks'>;
  readonly database: Place & {
    readonly exists: boolean;
    /** Gone, and backed up before. */
    readonly isLost: boolean;
    readonly sizeBytes: number;
    readonly walBytes: number;
    /** Null if nobody could look. */
    readonly journalMode: string | null;
    /** Traces of other tools that replicate it. */
    readonly replicators: readonly string[];
    /** Why it can't be opened. */
    readonly complaint: ErrorBody | null;
    /** Why others who use it may not share its log. */
    readonly doubts: readonly Doubt[];
  };
  readonly folder: Place & {
    /** Null if it is missing. */
    readonly mode: number | null;
    readonly isWritable: boolean;
    /** Why it can't be listed. */
    readonly complaint: ErrorBody | null;
    /** Files that are open to other users. */
    readonly openFiles: number;
    /** Other files than backups and our own lie in it. */
    readonly isShared: boolean;
    /** Backups in it. */
    readonly count: number;
    readonly freeBytes: number;
    /** How many there is room for of what the default keeps beside the newest; null if somebody said what to keep. */
    readonly fitting: number | null;
  };
  readonly state: { readonly path: string; readonly mode: number | null };
  /** Files of secrets that every user may read. */
  readonly openSecrets: readonly string[];
  /** Why settings that were changed on the page are not in force. */
  readonly settingsComplaint: string | null;
  /** Why what was set up on the page, such as a bucket, is not in use. */
  readonly credentialsComplaint: string | null;
  /** Why a target of the page is not in use, though the file can be read. */
  readonly setUpConflicts: readonly string[];
  /** Names of files of ours that were moved out of the way because they could not be used. */
  readonly setAside: readonly string[];
  readonly servedAs: Served | null;
  /** Bytes of the log that the checkpoint could not merge, for the newest backups whose checkpoint is known. */
  readonly unmergedBytes: readonly number[];
  readonly newestAt: Date | null;
  /** The open alarm. */
  readonly loss: Status['loss'];
  /** Since when the schedule of this process does not advance. */
  readonly stalledSince: Date | null;
  /** Null while continuous backup is off. */
  readonly continuous?: Pick<ContinuousStatus, 'concern' | 'untrue' | 'warnings' | 'targets'> | null;
  /** What the check says of the newest backup beside that it is good. */
  readonly remarks: readonly string[];
  readonly settings: Settings;
  /** Between two planned backups. */
  readonly gapMinutes: { readonly shortest: number; readonly longest: number };
  /** How the server of the program is reached; null if that was not said. */
  readonly door: DoorFacts | null;
  readonly s3: BucketFacts;
  /** Targets that are on and whose newest good copy must be brought back before it can be read. */
  readonly archived: readonly { readonly word: string; readonly storageClass: string; readonly takes: string }[];
  /** Beside S3. */
  readonly targets: readonly (BucketFacts & { readonly name: TargetName })[];
  /** Empty where the backups can't be listed. */
  readonly places: Status['places'];
  readonly drills: { readonly complaint: ErrorBody | null; readonly targets: readonly TargetFreshness[] };
}

export interface DoorFacts {
  readonly host: string;
  /** Null if there is none. */
  readonly passwordLength: number | null;
  readonly hasToken: boolean;
}

interface BucketFacts extends Risks {
  readonly isEncrypted: boolean;
  readonly words: Pick<StoreWords, 'noun' | 'own'>;
  /** Removal is left to a rule of the bucket. */
  readonly lifecycleDays?: number | null;
  /** Null if it was not asked. */
  readonly test: TargetReport | null;
}

interface Place {
  /** As configured. */
  readonly path: string;
  /** Which disk; null for what is missing. */
  readonly device: number | null;
  /** `ext4`, `nfs4`, …; null if the system does not tell. */
  readonly fileSystem: string | null;
}

interface Served {
  readonly what: 'backups' | 'state';
  readonly folder: string;
  /** False if its name alone says so. */
  readonly isCertain: boolean;
}

type Bucket = BucketFacts & { readonly word: string };

/** The targets that are on, each with what sentences call it. */
export function buckets({ settings, s3, targets }: DoctorFacts): readonly Bucket[] {
  const further = targets.map((target) => ({ ...target, word: target.name }));
  return settings.s3Enabled ? [{ ...s3, word: 'S3' }, ...further] : further;
}

export function wordsOf(some: readonly Bucket[]): string {
  return some.map(({ word }) => word).join(' and ');
}

export function lookAtDatabase(
  path: string,
  named: string,
): Omit<DoctorFacts['database'], 'journalMode' | 'complaint' | 'isLost'> {
  const found = statSync(path, { throwIfNoEntry: false });
  const real = realPathOf(path);
  const left = [`.${basename(real)}-litestream`, `${basename(real)}-litestream`].filter((name) =>
    existsSync(join(dirname(real), name)),
  );
  return {
    ...placeOf(path, named),
    exists: found !== undefined,
    sizeBytes: found?.size ?? 0,
    walBytes: statSync(`${real}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    replicators: left,
    doubts: doubtsAbout(real),
  };
}

export function lookAtFolder(
  path: string,
  named: string,
): Omit<DoctorFacts['folder'], 'count' | 'freeBytes' | 'fitting' | 'complaint'> {
  const found = existsSync(path) ? statSync(path) : undefined;
  const place = placeOf(path, named);
  // It is made with the first backup, if that may be done.
  if (!found) {
    const isWritable = may(existing(resolve(path)), constants.W_OK | constants.X_OK);
    return { ...place, mode: null, isWritable, openFiles: 0, isShared: false };
  }
  // Links as they are: their own mode says nothing, and what they name is not ours.
  const files = mayList(path)
    ? readdirSync(path).map((name) => lstatSync(join(path, name), { throwIfNoEntry: false }))
    : [];
  return {
    ...place,
    mode: found.mode,
    isWritable: may(path, constants.W_OK | constants.X_OK),
    openFiles: files.filter((file) => file?.isFile() && (file.mode & 0o077) !== 0).length,
    isShared: holdsOthersFiles(path),
  };
}

/** What was set aside in a folder of ours. */
export function setAsideIn(folder: string): readonly string[] {
  return mayList(folder) && existsSync(folder)
    ? readdirSync(folder).filter((name) => /\.unusable-[0-9a-f]{8}$/.test(name))
    : [];
}

/** The mode of a file; null if it is missing. */
export function modeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mode ?? null;
}

const OTHERS_READ = 0o004;

/**
 * Docker and Kubernetes put secrets below `/run/secrets`, readable to all users of a container that has one: that is no
 * mistake of anybody's.
 */
export function openSecretsAmong(files: readonly string[]): readonly string[] {
  return [...new Set(files)].filter(
    (path) => !resolve(path).startsWith('/run/secrets/') && ((modeOf(path) ?? 0) & OTHERS_READ) !== 0,
  );
}

function mayList(path: string): boolean {
  return may(path, constants.R_OK | constants.X_OK);
}

function may(path: string, rights: number): boolean {
  try {
    accessSync(path, rights);
    return true;
  } catch {
    return false;
  }
}

function placeOf(path: string, named: string): Place {
  const real = realPathOf(path);
  const device = statSync(existing(real), { throwIfNoEntry: false })?.dev ?? null;
  return { path: named, device, fileSystem: fileSystemOf(real, readMounts()) };
}

/** The kind of the file system that holds `path`. */
export function fileSystemOf(path: string, mounts: readonly Mount[] | null): string | null {
  return (mounts && mountOf(path, mounts)?.kind) ?? null;
}

const publicNames: ReadonlySet<string> = new Set(['public', 'static', 'public_html', 'htdocs', 'www', 'wwwroot']);

/** Whether backups or state lie in a folder that is served, or in one of the app's that is called so. */
export function servedAs(
  places: { readonly backups: string; readonly state: string },
  servedFolders: readonly string[],
  workingFolder: string = process.cwd(),
): Served | null {
  const all = (['backups', 'state'] as const).map((what) => ({ what, path: realPathOf(places[what]) }));
  for (const { what, path } of all) {
    const folder = servedFolders.find((served) => isIn(path, realPathOf(served)));
    if (folder !== undefined) return { what, folder, isCertain: true };
  }
  // What is above the app, as in /var/www/app, is served by its name no more than the app itself.
  const app = realPathOf(workingFolder);
  for (const { what, path } of all) {
    if (!isIn(path, app)) continue;
    const folder = dirname(path)
      .slice(app.length)
      .split(sep)
      .concat(what === 'backups' ? basename(path) : [])
      .find((part) => publicNames.has(part.toLowerCase()));
    if (folder !== undefined) return { what, folder, isCertain: false };
  }
  return null;
}

/** Links followed as far as it exists; the rest as it would be made. */
function realPathOf(path: string): string {
  const full = resolve(path);
  const there = existing(full);
  const real = there === '/' ? there : realPathOfFile(there);
  return real + full.slice(there === '/' ? 0 : there.length);
}

function existing(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

/** What a database or a machine gets for itself at that place. */
export function ownPlaceAt({ s3, targets }: DoctorFacts, target: TargetName): string {
  if (target === 'local') return OWN_FOLDER;
  return (targets.find(({ name }) => name === target) ?? s3).words.own;
}
