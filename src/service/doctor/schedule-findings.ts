/** What is wrong with when backups are made and proven, and for how long they are kept. */
import { buckets } from './facts.ts';
import { targetWord } from '../../words/target-word.ts';
import { type Check, found, ok } from './finding.ts';

/** Clocks that are set by the network are apart by less. */
const FUTURE_MS = 5 * 60_000;

export const clockIsRight: Check = ({ now, newestAt }) => {
  const code = 'clock';
  if (newestAt === null || newestAt.getTime() - now.getTime() <= FUTURE_MS)
    return ok(code, 'no backup is dated in the future');
  return found('warning', code, {
    what: `the newest backup is dated in the future: ${newestAt.toISOString()}`,
    why: 'The clock was set back, or was wrong when it was made, so its age means nothing.',
    fix: 'Make sure that the clock is set by the network (`timedatectl`). New backups correct this by themselves.',
  });
};

export const scheduleAdvances: Check = ({ stalledSince }) => {
  if (stalledSince === null) return null;
  return found('problem', 'stalled', {
    what: `the schedule has been stuck since ${stalledSince.toISOString()}`,
    why: 'A planned backup is waiting for its turn, or the running one has stopped reporting. No backup is made meanwhile.',
    fix: 'Stop what is running (on the page, or POST /backup/api/runs/stop), or restart the app.',
  });
};

export const isScheduled: Check = ({ settings }) => {
  const code = 'schedule';
  if (settings.enabled) return ok(code, 'backups are made automatically');
  return found('warning', code, {
    what: 'auto-backup is off',
    why: 'A backup is made only when somebody thinks of it.',
    fix: 'Set BACKUP_ENABLED=true, or switch it on on the page.',
  });
};

export const ageFitsInterval: Check = ({ settings: { maxAgeMinutes }, gapMinutes: { shortest, longest } }) => {
  const code = 'max-age';
  if (maxAgeMinutes === null || maxAgeMinutes > longest) return ok(code, 'the age limit fits the interval');
  return found('warning', code, {
    what: `a backup counts as too old after ${maxAgeMinutes} minutes, and up to ${longest} pass between two`,
    why: 'The state is `late` before each backup, so people stop trusting it.',
    fix: `Set BACKUP_MAX_AGE_MINUTES to ${longest + 2 * shortest}, or leave it out.`,
  });
};

const DAY_MINUTES = 1_440;

/** At half of the days an idle database is backed up anew, by a planned run. */
export const renewalFits: Check = (facts) => {
  const days = Math.min(...buckets(facts).flatMap(({ lifecycleDays }) => lifecycleDays ?? []));
  if (!Number.isFinite(days)) return null;
  const longest = facts.gapMinutes.longest;
  if (facts.settings.enabled && 2 * longest <= days * DAY_MINUTES)
    return ok(
      'lifecycle',
      `a database that does not change is stored again before the bucket removes it after ${days} days`,
    );
  return found('problem', 'lifecycle', {
    what: facts.settings.enabled
      ? `the bucket removes a copy after ${days} days, and up to ${longest} minutes pass between two backups`
      : `the bucket removes a copy after ${days} days, and auto-backup is off`,
    why: 'The copy of a database that does not change may be removed before another one is stored.',
    fix: 'Plan backups more often, or give the rule of the bucket more days (and BACKUP_S3_LIFECYCLE_DAYS).',
  });
};

export const historyIsLong: Check = ({ folder, settings, gapMinutes: { shortest: intervalMinutes } }) => {
  const code = 'history';
  const { retentionCount, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings;
  const isSaid = keepDaily + keepWeekly + keepMonthly + keepYearly > 0 || keepHourly >= 24;
  const keepsPeriods = folder.fitting === null ? isSaid : folder.fitting > 0;
  const minutes = retentionCount * intervalMinutes;
  if (keepsPeriods || minutes >= DAY_MINUTES) return ok(code, 'backups go back a day or more');
  const reach = `${retentionCount} backups, one every ${intervalMinutes} minutes, go back ${minutes} minutes while the database changes`;
  const why = 'A mistake that is noticed tomorrow is in all of them.';
  if (folder.fitting === 0) {
    return found('info', code, {
      what: `${reach}: all copies together may take a fifth of the disk by default, and there is no room for more`,
      why,
      fix: 'Set BACKUP_LOCAL_PATH to a larger disk, or BACKUP_KEEP_DAILY=7, which is kept whatever space it takes.',
    });
  }
  return found('info', code, {
    what: reach,
    why,
    fix: 'Set BACKUP_KEEP_HOURLY=24 and BACKUP_KEEP_DAILY=7, or a higher BACKUP_RETENTION_COUNT.',
  });
};

export const keepFitsInterval: Check = ({ folder, settings, gapMinutes: { shortest: intervalMinutes } }) => {
  // The default fits every rhythm: nobody asked for hours.
  if (folder.fitting !== null) return null;
  const periods = [
    ['BACKUP_KEEP_HOURLY', settings.keepHourly, 60],
    ['BACKUP_KEEP_DAILY', settings.keepDaily, DAY_MINUTES],
  ] as const;
  const inert = periods.find(([, count, minutes]) => count > 0 && intervalMinutes > minutes);
  if (!inert) return null;
  const [name, count, minutes] = inert;
  return found('info', 'keep', {
    what: `${name}=${count}, but a backup is made only every ${intervalMinutes} minutes`,
    why: `Most periods of ${minutes} minutes have no backup; it keeps ${count} that have one, which reach back further than the number suggests.`,
    fix: `Leave ${name} out, or make backups more often.`,
  });
};

export const copiesPassed: Check = ({ drills: { targets } }) => {
  const code = 'damaged-backups';
  // Where nobody could list the backups.
  if (targets.length === 0) return null;
  const bad = targets.filter(({ damaged }) => damaged > 0);
  const [first] = bad;
  if (!first) return ok(code, 'each stored backup passed its last check');
  const where = (target: string) => (target === 'local' ? 'in the folder' : `on ${targetWord(target)}`);
  const from = first.target === 'local' ? '' : ` --from ${first.target}`;
  return found('problem', code, {
    what: `backups that did not pass their last check: ${bad.map(({ target, damaged }) => `${damaged} ${where(target)}`).join(', ')}`,
    why: 'They can’t be relied on, and what damaged them may damage others.',
    fix: `See which with velist-backup list${first.target === 'local' ? '' : ` --target ${first.target}`}, and check them again: velist-backup verify <backup>${from} --full`,
  });
};

export const drillsProve: Check = ({ drills }) => {
  const code = 'drills';
  if (drills.complaint !== null) {
    return found('problem', code, {
      what: drills.complaint.message,
      why: 'Each drill fails before it begins.',
      fix: drills.complaint.hint,
    });
  }
  // Where nobody could list the backups.
  if (drills.targets.length === 0) return null;
  const failed = drills.targets.find(({ drill }) => drill?.result === 'failed');
  if (failed) {
    return found('problem', code, {
      what: `a drill of ${failed.target} failed, and none has proven as new a backup since`,
      why: 'A backup that cannot be restored today cannot be restored on the day it is needed.',
      fix: `Run it again and read the reason: velist-backup drill --from ${failed.target}`,
    });
  }
  const unproven = drills.targets.filter(({ proven }) => proven === null).map(({ target }) => target);
  if (unproven.length === 0) return ok(code, 'a restore from each place was proven');
  const sealed = drills.targets.find(({ proven, drill }) => proven === null && drill?.result === 'sealed');
  return found('info', code, {
    what: `a restore from ${unproven.join(' and ')} was never proven`,
    why: 'A backup is worth only what its restore is worth.',
    fix: `velist-backup drill${sealed ? ` --from ${sealed.target} --identity key.txt, where the private key is` : ''}`,
  });
};
