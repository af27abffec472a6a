/**
 * The targets beside the folder: `s3`, which the environment describes, and those that the app names itself. Each has a
 * connection, a prefix, a retention and a sealing of its own.
 *
 * Two of them at one place would prune each other's backups by two policies, so that is refused, also when the path of
 * `s3` is changed while running.
 */
import { isPrefix } from '../../config/prefix.ts';
import type { Sealing } from '../../engine/format/seal.ts';
import { BackupError } from '../../words/errors.ts';
import type { FolderAccess } from '../../engine/store/folder/access.ts';
import { faultOfTarget, identityOf, type TargetAccess, whereOf } from '../../engine/store/kinds.ts';
import type { S3Access } from '../../engine/store/s3/access.ts';
import type { Settings } from '../state/backup-config.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { OwnRetention } from './retention-policies.ts';

/** What is kept there, and how. */
interface Kept extends OwnRetention {
  readonly sealing?: Sealing;
}

export type TargetSetup = TargetAccess & Kept;
/** As an app writes it: a target that names no kind is a bucket. */
export type S3Target = Omit<S3Access, 'kind'> & { readonly kind?: 's3' } & Kept;

interface Named {
  /** Lower-case letters, digits and hyphens, as `--target` and `?target=` take it. */
  readonly name: TargetName;
}

/** Beside `s3`; on for as long as it is given. */
export type FurtherTarget = FurtherBucket | FurtherFolder;
/** `prefix` is the path in the bucket. */
export type FurtherBucket = S3Target & Named & { readonly prefix: string };
/** `prefix` is the folder in it; left out: the folder itself. */
export type FurtherFolder = FolderAccess & Kept & Named & { readonly prefix?: string };

export interface TargetOptions {
  readonly s3?: S3Target | null;
  readonly targets?: readonly FurtherTarget[];
  /** The folder of the backups here. */
  readonly backupsPath?: string;
}

/** One as it stands now. */
export interface ConfiguredTarget {
  readonly name: TargetName;
  readonly access: TargetSetup;
  readonly prefix: string;
  readonly isEnabled: boolean;
}

/** What to do where a bucket is asked for and there is none. */
export const NO_BUCKET_HINT =
  'Set S3 up on the page, under Configure. Or set S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment, then restart.';

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
const TAKEN: ReadonlySet<TargetName> = new Set(['local', 's3']);

/** `s3` first, then in the order of the configuration. */
export function remoteTargets(
  { s3, targets = [] }: TargetOptions,
  { s3Path, s3Enabled }: Pick<Settings, 's3Path' | 's3Enabled'>,
): readonly ConfiguredTarget[] {
  const further = targets.map((target) => ({
    name: target.name,
    access: setupOf(target),
    prefix: target.prefix ?? '',
    isEnabled: true,
  }));
  return s3 ? [{ name: 's3', access: setupOf(s3), prefix: s3Path, isEnabled: s3Enabled }, ...further] : further;
}

function setupOf(target: S3Target | FurtherTarget): TargetSetup {
  return target.kind === 'folder' ? target : { ...target, kind: 's3' };
}

/** @throws BackupError BAD_CONFIG for a wrong or double name, a wrong prefix, and for two at one place. */
export function checkTargets(options: TargetOptions, settings: Pick<Settings, 's3Path' | 's3Enabled'>): void {
  const names = new Set(TAKEN);
  for (const { name, kind, prefix = '' } of options.targets ?? []) {
    if (!NAME.test(name) || names.has(name)) {
      throw wrong(
        `a further target cannot be called ${JSON.stringify(name)}`,
        'A name is up to 32 lower-case letters, digits and hyphens, begins with a letter, and is not local, s3 or that of another target.',
      );
    }
    names.add(name);
    if ((kind === 'folder' && prefix === '') || isPrefix(prefix)) continue;
    throw wrong(
      `the prefix of the target ${name} is wrong: ${JSON.stringify(prefix)}`,
      'It is a path such as backups/database, without a slash at its ends.',
    );
  }
  const taken = new Map<string, TargetName>();
  for (const { name, access, prefix } of remoteTargets(options, settings)) {
    const fault = faultOfTarget(access, prefix, options.backupsPath);
    if (fault) throw wrong(`the target ${name} is wrong: ${fault.what}`, fault.hint);
    const place = identityOf(access, prefix);
    const other = taken.get(place);
    if (other !== undefined) {
      throw wrong(
        `the targets ${other} and ${name} are one place: ${whereOf(access, prefix)}`,
        'Give each a bucket, a folder or a path of its own.',
      );
    }
    taken.set(place, name);
  }
}

function wrong(message: string, hint: string): BackupError {
  return new BackupError('BAD_CONFIG', message, { hint });
}
