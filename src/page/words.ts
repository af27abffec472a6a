/** The page's words for the contract's codes: one place, so that a step is called the same wherever it appears. */
import type { Activity, AuditAnswer, Backup, Run, RunProgress } from '../http/contract.ts';

export type Step = RunProgress['steps'][number];
export type Trigger = Run['trigger'];

export const triggerWords: Record<Trigger, string> = {
  start: 'At start',
  schedule: 'Auto',
  manual: 'Manual',
  cli: 'Command line',
  safety: 'Before restore',
};

export const kindWords: Record<Run['kind'], string> = {
  backup: 'Backup',
  verify: 'Verify',
  restore: 'Restore',
  undo: 'Undo restore',
  upload: 'Upload',
  drill: 'Drill',
};

export const stepWords: Record<Step['name'], string> = {
  checkpoint: 'Checkpoint',
  copy: 'Copy',
  verify: 'Verify',
  publish: 'Save',
  upload: 'Upload to S3',
  prune: 'Clean up',
  fetch: 'Fetch the backup',
  check: 'Check the backup',
  safety: 'Safety copy of today’s data',
  place: 'Put the backup in place',
  prove: 'Check the result',
};

/** With a result behind them: “Sign-in refused”. */
export const actWords: Record<AuditAnswer['entries'][number]['act'], string> = {
  'sign-in': 'Sign-in',
  'sign-out': 'Sign-out',
  'confirm-password': 'Password again',
  request: 'Request',
  download: 'Download',
  delete: 'Deletion',
  retention: 'Removal by retention',
  prune: 'Clean-up by hand',
  restore: 'Restore',
  'restore-if-missing': 'Restore of the missing database',
  undo: 'Undo of a restore',
  settings: 'Settings',
  pin: 'Pin',
  unpin: 'Unpin',
  note: 'Note',
  adopt: 'Adoption of a file',
  claim: 'Claim of the backups',
  'accept-loss': 'Acceptance of a loss',
  mark: 'Mark',
  pause: 'Pause of continuous backup',
  resume: 'Resuming of continuous backup',
  'reopen-loss': 'Loss opened again',
  stop: 'Stop of a run',
};

/** What a bar of the activity chart says. */
export const barWords: Record<Activity['bars'][number]['state'], string> = {
  failed: 'Failed',
  missed: 'Missed',
  'no-s3': 'No S3 copy',
  kept: 'Kept',
  pruned: 'Good, no longer kept',
  unchanged: 'Nothing had changed',
  none: 'No run planned',
};

const targetNames: Readonly<Record<string, string>> = { local: 'Local', s3: 'S3' };

export const targetWord = (target: string): string => targetNames[target] ?? target;

/** "S3 and offsite-eu" */
export const targetList = (targets: readonly { readonly target: string }[]): string =>
  targets.map(({ target }) => targetWord(target)).join(' and ');

export const methodWords = { quick: 'Quick check', full: 'Full integrity check' } as const;

/** How a copy is sealed; nothing is said of a plain one. */
export const sealingWords = {
  plain: undefined,
  zstd: 'Compressed with zstd',
  age: 'Encrypted with age',
  'zstd+age': 'Compressed with zstd, encrypted with age',
} as const;

/** A copy that can be listed and not read. */
export const archiveWords = ({
  storageClass,
  takes,
}: {
  readonly storageClass: string;
  readonly takes: string;
}): string => `In ${storageClass}: the provider takes ${takes} to bring it back`;

/** "local copy", "S3 and offsite-eu copies" */
export const copyWords = (targets: readonly string[]): string =>
  `${targets.map((target) => (target === 'local' ? target : targetWord(target))).join(' and ')} ${targets.length > 1 ? 'copies' : 'copy'}`;

/** The bytes that a backup that is not here costs before it can be looked at; null where there is a local copy. */
export function fetchSize({ placements, size }: Backup): number | null {
  const stored = placements.filter(({ status }) => status === 'stored');
  const remote = stored.find(({ target }) => target !== 'local');
  if (remote === undefined || stored.some(({ target }) => target === 'local')) return null;
  return remote.sizeBytes ?? size;
}
