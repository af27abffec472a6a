/** The verdict while something runs. */
import type { Run, RunProgress } from '../../http/contract.ts';
import { clockTime, moment, nameTime } from './format.ts';
import type { Icon, Known, Phrase, Words } from './verdict-parts.ts';
import { uploadWord } from './targets.ts';
import { triggerWords } from './words.ts';

const runIcons: Record<Run['kind'], Icon> = {
  backup: 'database',
  verify: 'badge-check',
  upload: 'cloud',
  restore: 'restore',
  undo: 'restore',
  drill: 'badge-check',
  rescue: 'restore',
  'undo-rescue': 'restore',
};

export function runningWords(known: Known): Words {
  const { status, now, zone } = known;
  const { run, database } = status;
  if (run === null)
    return {
      icon: 'database',
      headline: 'Working…',
      say: ['A run is going on. Your app keeps running normally.'],
      facts: [],
      actions: [],
    };
  const started = `${starter(run, known.ownRun)} at ${clockTime(Date.parse(run.startedAt), zone)}.`;
  const percent = `${Math.round(run.percent)}%`;
  const base = { icon: runIcons[run.kind], facts: [] };
  switch (run.kind) {
    case 'backup':
      return {
        ...base,
        headline: 'Backing up…',
        count: percent,
        say: [`${started} Your app keeps running normally.`],
        actions: ['stop', 'backup'],
      };
    case 'verify':
      return {
        ...base,
        headline: 'Verifying…',
        count: percent,
        say: [`${started} The file is opened read-only and checked. `, ...named(run, now, zone)],
        actions: ['stop'],
      };
    case 'drill':
      return {
        ...base,
        headline: 'Rehearsing a restore…',
        count: percent,
        say: [`${started} Into a hidden place beside the backups. `, ...named(run, now, zone)],
        actions: ['stop', 'backup'],
      };
    case 'upload':
      return {
        ...base,
        headline: `${uploadWord(
          status.targets.filter(({ enabled }) => enabled),
          { bucket: 'Uploading', folder: 'Copying' },
        )}…`,
        count: percent,
        say: [`${started} The local backup is complete. `, ...named(run, now, zone)],
        actions: ['stop'],
      };
    case 'restore':
    case 'undo': {
      const verb = run.kind === 'restore' ? 'Restoring' : 'Undoing the restore of';
      return {
        ...base,
        headline: `${verb} ${database.name}…`,
        count: stepCount(run),
        say: [...named(run, now, zone), 'It is safe to close this page; the restore goes on.'],
        actions: [],
      };
    }
    case 'rescue':
    case 'undo-rescue':
      return {
        ...base,
        ...rescueWords(run),
        say: [`${started} `, ...named(run, now, zone), 'The app goes on meanwhile.'],
      };
  }
}

function rescueWords(run: RunProgress): Pick<Words, 'headline' | 'count' | 'actions'> {
  const count = stepCount(run);
  if (run.kind === 'undo-rescue') return { headline: 'Taking rescued rows back…', count, actions: [] };
  return { headline: 'Rescuing rows…', count, actions: ['stop'] };
}

/** "step 3 of 5" */
function stepCount(run: RunProgress): string {
  const current = run.steps.findIndex((step) => step.state === 'running');
  const done = run.steps.filter((step) => step.state === 'done').length;
  return `step ${Math.min(current === -1 ? done + 1 : current + 1, run.steps.length)} of ${run.steps.length}`;
}

function named(run: RunProgress, now: number, zone: string): Phrase[] {
  const time = run.backup === null ? null : nameTime(run.backup);
  return time === null ? [] : [`From the backup of ${moment(time, now, zone)}. `];
}

function starter(run: RunProgress, ownRun: string | null): string {
  if (run.id === ownRun) return 'Started by you';
  if (run.trigger === 'schedule' || run.trigger === 'start') return 'Started automatically';
  if (run.user !== null) return `Started by ${run.user}`;
  return run.trigger === 'manual' ? 'Started by hand' : `Started: ${triggerWords[run.trigger].toLowerCase()},`;
}
