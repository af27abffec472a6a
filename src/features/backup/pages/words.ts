/** The page's words for the contract's codes: one place, so that a step is called the same wherever it appears. */
import type { Activity, Backup, Run, RunProgress } from '../../../http/contract.ts';

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

export const targetWords = { local: 'Local', s3: 'S3' } as const;

export const methodWords = { quick: 'Quick check', full: 'Full integrity check' } as const;

/** How a copy is sealed; nothing is said of a plain one. */
export const sealingWords = {
  plain: undefined,
  zstd: 'Compressed with zstd',
  age: 'Encrypted with age',
  'zstd+age': 'Compressed with zstd, encrypted with age',
} as const;

/** The bytes that a backup at S3 alone costs before it can be looked at; null where there is a local copy. */
export function fetchSize({ placements, size }: Backup): number | null {
  const stored = placements.filter(({ status }) => status === 'stored');
  const remote = stored.find(({ target }) => target === 's3');
  if (remote === undefined || stored.some(({ target }) => target === 'local')) return null;
  return remote.sizeBytes ?? size;
}
