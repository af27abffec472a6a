/** What the words of all verdicts are made of: their form, and the sentences and facts that several of them share. */
import type { Activity, Backup, Status } from '../../http/contract.ts';
import { ago, countdown, moment } from './format.ts';
import type { Loss } from './loss.ts';

/** A piece of a sentence: plain, weighty, or a name in code. */
export type Phrase = string | { readonly strong: string } | { readonly code: string };
export type Action =
  | 'configure'
  | 'backup'
  | 'retry'
  | 'show-run'
  | 'turn-on'
  | 'test-connection'
  | 'undo'
  | 'dismiss'
  | 'stop'
  | 'reconnect'
  | 'reload'
  | 'check-again'
  | 'bring-back'
  | 'see-loss'
  | 'restore-before'
  | 'accept-loss'
  | 'drill-again'
  | 'show-drill'
  | 'see-damaged'
  | 'verify-again';
export type Tone = 'good' | 'warn' | 'bad' | 'busy' | 'calm';
export type Icon =
  | 'shield-check'
  | 'shield-alert'
  | 'shield-x'
  | 'shield-off'
  | 'cloud-off'
  | 'database'
  | 'badge-check'
  | 'cloud'
  | 'restore'
  | 'check'
  | 'wifi-off'
  | 'disk'
  | 'file-x'
  | 'folder-x'
  | 'server';
export type FactIcon = 'check' | 'alert' | 'drive' | 'calendar' | 'clock' | 'retry' | 'info' | 'cloud';

export interface Fact {
  readonly icon: FactIcon;
  readonly mood: 'ok' | 'no' | 'plain';
  readonly text: string;
}

export interface VerdictWords {
  readonly tone: Tone;
  readonly icon: Icon;
  readonly headline: string;
  /** The part of the headline that counts while a run goes on. */
  readonly count?: string;
  /** The name that the headline begins with, when it comes out of the database: shown in code. */
  readonly subject?: string;
  /** The headline of the tab, where the other one names what is in the database. */
  readonly tab?: string;
  /** Tables that lost rows, the worst first; those beyond the first three are counted. */
  readonly losses?: Loss['tables'];
  readonly say: readonly Phrase[];
  readonly facts: readonly Fact[];
  /** The last one is the filled button. */
  readonly actions: readonly Action[];
  /** A card below asks what to do, so that no button here is the filled one. */
  readonly isAskedBelow?: boolean;
}

export interface Known {
  readonly status: Status;
  readonly backups: readonly Backup[];
  readonly activity: Activity | null;
  readonly now: number;
  readonly zone: string;
  /** The id of the run that this page asked for. */
  readonly ownRun: string | null;
}

export const plainText = (phrases: readonly Phrase[]): string =>
  phrases
    .map((phrase) => (typeof phrase === 'string' ? phrase : 'strong' in phrase ? phrase.strong : phrase.code))
    .join('');

export type Words = Omit<VerdictWords, 'tone'>;

export const usual: readonly Action[] = ['configure', 'backup'];

export function newestGood(known: Known): Phrase[] {
  const { status, now, zone } = known;
  if (status.lastGood === null) return ['No verified backup is known.'];
  const created = Date.parse(status.lastGood.createdAt);
  return ['Your newest good backup is from ', { strong: moment(created, now, zone) }, `, ${ago(created, now)}.`];
}

export function nextRun(known: Known): Fact[] {
  const { schedule } = known.status;
  if (!schedule.enabled || schedule.nextRunAt === null) return [];
  return [
    {
      icon: 'calendar',
      mood: 'plain',
      text: `Next backup in ${countdown(Date.parse(schedule.nextRunAt) - known.now)}`,
    },
  ];
}

/** The newest good backup at the place of a failed drill that is not the one that failed; null if there is none. */
export function anotherToDrill({ status, backups }: Pick<Known, 'status' | 'backups'>): Backup | null {
  const { failedCheck } = status;
  if (failedCheck === null) return null;
  const { target, backup: failed } = failedCheck;
  const isThere = ({ placements }: Backup) =>
    placements.some((copy) => copy.target === target && copy.status === 'stored' && !copy.archive);
  return (
    backups.find(
      (backup) =>
        backup.verified &&
        !backup.safety &&
        !backup.arrived &&
        backup.other === null &&
        backup.filename !== failed &&
        isThere(backup),
    ) ?? null
  );
}

/** Elsewhere than here. */
export function copiesOf(known: Known, filename: string): Backup['placements'] {
  const backup = known.backups.find((candidate) => candidate.filename === filename);
  return backup?.placements.filter(({ target, status }) => target !== 'local' && status === 'stored') ?? [];
}
