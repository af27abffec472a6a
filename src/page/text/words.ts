/** The page's words for the contract's codes: one place, so that a step is called the same wherever it appears. */
import type { Activity, Run, RunProgress, Status } from '../../http/contract.ts';
import { uploadWord } from './targets.ts';

export type Step = RunProgress['steps'][number];
type Trigger = Run['trigger'];

export const triggerWords: Record<Trigger, string> = {
  start: 'At start',
  schedule: 'Auto',
  manual: 'Manual',
  cli: 'Command line',
  safety: 'Before restore',
};

const stepWords: Record<Exclude<Step['name'], 'upload'>, string> = {
  checkpoint: 'Checkpoint',
  copy: 'Copy',
  verify: 'Verify',
  publish: 'Save',
  prune: 'Clean up',
  fetch: 'Fetch the backup',
  check: 'Check the backup',
  safety: 'Safety copy of today’s data',
  place: 'Put the backup in place',
  prove: 'Check the result',
};

/** @param targets where the run may take a copy to. */
export const stepWord = (name: Step['name'], targets: Status['targets']): string =>
  name === 'upload' ? uploadWord(targets.filter(({ enabled }) => enabled)) : stepWords[name];

/** What a bar of the activity chart says; `lacking` is the copy that is missing. */
export const barWord = (state: BarState, lacking: string): string =>
  state === 'no-s3' ? `No ${lacking}` : barWords[state];

/** The copy that a backup without one lacks, by the kind of its targets. */
export const lackingWords = { bucket: 'S3 copy', folder: 'folder copy', mixed: 'further copy' } as const;

type BarState = Activity['bars'][number]['state'];
const barWords: Record<Exclude<BarState, 'no-s3'>, string> = {
  failed: 'Failed',
  missed: 'Missed',
  kept: 'Kept',
  pruned: 'Good, no longer kept',
  unchanged: 'Nothing had changed',
  none: 'No run planned',
};

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
