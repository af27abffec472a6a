/**
 * What the page calls the places of copies. The folder that BACKUP_FOLDER_PATH names and the bucket have names of their
 * own; a further target is called what its owner calls it.
 */
import type { Backup, Status } from '../../http/contract.ts';

type Known = Pick<Status['targets'][number], 'target' | 'bucket'>;

const labels: Readonly<Record<string, string>> = { local: 'Local', s3: 'S3', folder: 'Folder' };
const phrases: Readonly<Record<string, string>> = { folder: 'the second folder' };

/** For a chip, a label, the beginning of a line. */
export const targetWord = (target: string): string => labels[target] ?? target;

/** Within a sentence. */
export const targetPhrase = (target: string): string => phrases[target] ?? targetWord(target);

/** At the beginning of one. */
export const targetSubject = (target: string): string => targetPhrase(target).replace(/^the /, 'The ');

/** "S3 and the second folder" */
export const targetList = (targets: readonly { readonly target: string }[]): string =>
  targets.map(({ target }) => targetPhrase(target)).join(' and ');

/** "local copy", "S3 and offsite-eu copies" */
export const copyWords = (targets: readonly string[]): string =>
  `${targets.map((target) => (target === 's3' ? 'S3' : target)).join(' and ')} ${targets.length > 1 ? 'copies' : 'copy'}`;

export const isFolder = ({ bucket }: Pick<Known, 'bucket'>): boolean => bucket === null;

export const isFolderAmong = (targets: readonly Known[], target: string): boolean =>
  targets.some((one) => one.target === target && isFolder(one));

/** What kind all of them are; without any, what a bucket would be called is said. */
export function kindOf(targets: readonly Known[]): 'bucket' | 'folder' | 'mixed' {
  if (!targets.some(isFolder)) return 'bucket';
  return targets.every(isFolder) ? 'folder' : 'mixed';
}

/** What a run does there: "Upload to S3", "Copying to the second folder". */
export function uploadWord(targets: readonly Known[], verbs = { bucket: 'Upload', folder: 'Copy' }): string {
  const kind = kindOf(targets);
  if (targets.length > 1) return kind === 'folder' ? `${verbs.folder} to the folders` : verbs.bucket;
  return `${kind === 'folder' ? verbs.folder : verbs.bucket} to ${targetPhrase(targets[0]?.target ?? 's3')}`;
}

/** What fetching a backup that is not here costs before it can be looked at; null if there is a local copy. */
export function fetchOf({ placements, size }: Backup): { readonly bytes: number; readonly from: string } | null {
  const stored = placements.filter(({ status }) => status === 'stored');
  const remote = stored.find(({ target }) => target !== 'local');
  if (remote === undefined || stored.some(({ target }) => target === 'local')) return null;
  return { bytes: remote.sizeBytes ?? size, from: targetPhrase(remote.target) };
}
