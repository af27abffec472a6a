/** The verdicts that ask for something: what went wrong, what still holds, what to do. */
import type { Run } from '../../http/contract.ts';
import { missedLately } from './activity.ts';
import { age, ago, clockTime, countdown, minutes, moment, nameTime, plural, sentence, size } from './format.ts';
import {
  anotherToDrill,
  copiesOf,
  type Fact,
  type Known,
  newestGood,
  nextRun,
  type Phrase,
  usual,
  type Words,
} from './verdict-parts.ts';
import { isFolder, kindOf, targetList, targetPhrase } from './targets.ts';
import { stepWord } from './words.ts';

export function tooOldWords(known: Known): Words {
  const { status, now, zone } = known;
  const { lastGood, lastBackupRun: lastRun, maxAgeMinutes, schedule } = status;
  const facts: Fact[] = [];
  if (lastRun?.result === 'failed' && lastRun.error !== null)
    facts.push(failedFact(lastRun, known), {
      icon: 'info',
      mood: 'plain',
      text: sentence(lastRun.error.message),
    });
  else facts.push(...missedFacts(known));
  if (!schedule.enabled) facts.push({ icon: 'info', mood: 'plain', text: 'Auto-backup is off' });
  const base = {
    icon: 'shield-x',
    headline: 'Last good backup is too old',
    actions: usual,
  } as const;
  if (lastGood === null)
    return {
      ...base,
      say: [
        `No verified backup is known, and you want one every ${minutes(maxAgeMinutes)} at the latest. Make one now.`,
      ],
      facts: [...facts, ...nextRun(known)],
    };
  const holds = Date.parse(lastGood.holdsAt);
  return {
    ...base,
    say: [
      'The newest good backup is ',
      { strong: age(now - holds) },
      ` old; the limit is ${minutes(maxAgeMinutes)}. It is verified and can be restored, but a crash now would lose everything since ${moment(holds, now, zone)}. Make one now.`,
    ],
    facts: [...facts, ...nextRun(known)],
  };
}

/** What the activity says of the gap up to now. */
function missedFacts({ activity, status, now, zone }: Known): Fact[] {
  const { enabled, cron, intervalMinutes } = status.schedule;
  if (activity === null || !enabled) return [];
  const missed = missedLately(activity, cron === null ? intervalMinutes * 60_000 : null);
  if (missed === null) return [];
  const text =
    missed.runs === null
      ? `No planned run has happened since ${moment(missed.from, now, zone)}`
      : `${plural(missed.runs, 'planned run')} did not happen`;
  const reason: Fact[] = missed.reason === null ? [] : [{ icon: 'info', mood: 'plain', text: missed.reason }];
  return [{ icon: 'alert', mood: 'no', text }, ...reason];
}

export function damagedWords(known: Known): Words {
  const { now, zone, backups, status } = known;
  if (status.verdict.detail !== undefined)
    return {
      icon: 'shield-x',
      headline: 'A backup is missing',
      say: [`${status.verdict.detail} `, ...newestGood(known), ' Make a new backup now.'],
      facts: nextRun(known),
      actions: usual,
    };
  const broken = backups.find(({ other, verification }) => other === null && verification.state === 'damaged');
  const detail = broken?.verification.state === 'damaged' ? ` ${sentence(broken.verification.detail)}` : '';
  const which =
    broken === undefined ? 'The newest backup' : `The backup of ${moment(Date.parse(broken.createdAt), now, zone)}`;
  return {
    icon: 'shield-x',
    headline: 'Backups are damaged',
    say: [`${which} did not pass its check.${detail} `, ...newestGood(known), ' Make a new backup now.'],
    facts: nextRun(known),
    actions: usual,
  };
}

export function changedWords(known: Known): Words {
  const detail = known.status.verdict.detail ?? 'The file of the newest backup was changed after it was published.';
  return {
    icon: 'shield-alert',
    headline: 'A backup was changed',
    say: [`${detail} `, ...newestGood(known)],
    facts: nextRun(known),
    actions: usual,
  };
}

export function lastFailedWords(known: Known): Words {
  const { status, now, zone } = known;
  const { lastBackupRun: lastRun } = status;
  const error = lastRun?.error ?? null;
  const facts: Fact[] = lastRun === null ? [] : [failedFact(lastRun, known)];
  if (status.lastGood !== null) {
    const stored = copiesOf(known, status.lastGood.filename);
    const copies = stored.length === 0 ? '' : `, with a copy in ${targetList(stored)}`;
    const time = moment(Date.parse(status.lastGood.createdAt), now, zone);
    facts.push({ icon: 'check', mood: 'ok', text: `${time} is verified${copies}` });
  }
  return {
    icon: 'shield-alert',
    headline: 'The last backup failed',
    say: [
      error === null ? 'The server gave no reason. ' : `${sentence(error.message)} `,
      ...newestGood(known),
      ...(error === null || error.hint === '' ? [] : [` ${sentence(error.hint)}`]),
    ],
    facts: [...facts, ...nextRun(known)],
    actions: ['show-run', 'retry'],
  };
}

/** A test restore, or a check of a stored backup, failed and nothing has answered that since. */
export function checkFailedWords(known: Known): Words {
  const { status, now, zone } = known;
  const found = status.failedCheck;
  if (found === null)
    return { icon: 'shield-alert', headline: 'A check failed', say: newestGood(known), facts: [], actions: usual };
  const place = found.target === 'local' ? 'in the folder' : `on ${targetPhrase(found.target)}`;
  const time = found.backup === null ? null : nameTime(found.backup);
  const which: Phrase[] =
    time === null
      ? [found.backup === null ? 'No backup ' : `${found.backup} `]
      : ['The backup of ', { strong: moment(time, now, zone) }, ' '];
  const more: Phrase[] = found.more === 0 ? [] : [` ${plural(found.more, 'more check')} failed: see Check-up.`];
  const facts: Fact[] = [{ icon: 'alert', mood: 'no', text: `Failed ${ago(Date.parse(found.at), now)}` }];
  if (found.kind === 'verify')
    return {
      icon: 'shield-alert',
      headline: 'A stored backup is damaged',
      say: [
        ...which,
        `${place} did not pass its last check: ${sentence(found.why)} It is never restored by itself. `,
        ...newestGood(known),
        ...more,
      ],
      facts: [...facts, ...nextRun(known)],
      actions: ['see-damaged', 'verify-again'],
    };
  const { proven = null } = status.freshness.targets.find(({ target }) => target === found.target) ?? {};
  const provenTime = proven === null || proven.at <= found.at ? null : nameTime(proven.backup);
  if (provenTime !== null)
    facts.push({ icon: 'check', mood: 'ok', text: `${moment(provenTime, now, zone)} was restored and proven since` });
  return {
    icon: 'shield-alert',
    headline: 'The test restore failed',
    say: [
      ...which,
      `${place} could not be restored to a hidden place: ${sentence(found.why)} Your database was not touched. `,
      // It is the one that was called good until then.
      ...(status.lastGood?.filename === found.backup ? ['It had passed its check.'] : newestGood(known)),
      anotherToDrill(known) === null ? ' Make a new backup, then test again.' : ' Test another one, and read why.',
      ...more,
    ],
    facts: [...facts, ...nextRun(known)],
    actions: found.run === null ? ['drill-again'] : ['show-drill', 'drill-again'],
  };
}

/** A copy is missing somewhere; the local backups are good. */
export function s3WaitingWords(known: Known): Words {
  const { status, now } = known;
  const wanting = status.targets.filter(({ enabled, error, waiting }) => enabled && (error !== null || waiting > 0));
  const failing = wanting.filter(({ error }) => error !== null);
  const shown = failing.length > 0 ? failing : wanting;
  const places = targetList(shown) || 'S3';
  const { error, nextTryAt, waiting } = shown[0] ?? status.s3;
  const isCopied = kindOf(shown) === 'folder';
  const facts: Fact[] = [];
  if (status.lastGood !== null) {
    const text = `Last good backup ${ago(Date.parse(status.lastGood.createdAt), now)}`;
    facts.push({ icon: 'check', mood: 'ok', text });
  }
  if (nextTryAt !== null)
    facts.push({ icon: 'retry', mood: 'plain', text: `Next try in ${countdown(Date.parse(nextTryAt) - now)}` });
  const reason = error === null ? sentence(status.verdict.detail ?? '') : sentence(error.message);
  const usualHint = isCopied ? 'They are copied as soon as it is back.' : 'They are sent as soon as it answers.';
  const hint = error === null || error.hint === '' ? usualHint : sentence(error.hint);
  const waits = `${waiting === 1 ? 'waits' : 'wait'} to be ${isCopied ? 'copied there' : 'uploaded'}`;
  return {
    icon: shown.length > 0 && shown.every(isFolder) ? 'folder-x' : 'cloud-off',
    headline:
      error === null
        ? `Protected here, not yet in ${places}`
        : `Protected here, but ${places} ${failing.length > 1 ? 'are' : 'is'} not reachable`,
    say: [
      `${reason} Local backups go on. `,
      ...(waiting === 0 ? [] : [{ strong: plural(waiting, 'backup') }, ` ${waits}. ${hint}`]),
    ],
    facts,
    actions: error === null ? usual : ['test-connection', 'backup'],
  };
}

export function stalledWords(known: Known): Words {
  const { status, now, zone } = known;
  const { stalledSince } = status.schedule;
  const since = stalledSince === null ? 'too long' : `since ${moment(Date.parse(stalledSince), now, zone)}`;
  return {
    icon: 'shield-alert',
    headline: 'The schedule is stuck',
    say: [
      `A backup has been waiting for its turn ${since}, or has stopped reporting. `,
      ...newestGood(known),
      ' Stop what is running, or start the app again; the next backup follows by itself.',
    ],
    facts: [],
    actions: status.run === null ? ['backup'] : ['stop'],
  };
}

export function offWords(known: Known): Words {
  return {
    icon: 'shield-off',
    headline: 'Auto-backup is off',
    say: ['Nothing is backed up unless you press Backup Now. ', ...newestGood(known)],
    facts: [],
    actions: ['turn-on', 'backup'],
  };
}

export function diskLowWords(known: Known): Words {
  const { status } = known;
  return {
    icon: 'disk',
    headline: 'Disk is nearly full',
    say: [
      { strong: `${size(status.local.freeBytes)} free` },
      ' on the disk with ',
      { code: status.local.path },
      `; a backup of this database takes up to ${size(status.database.sizeBytes)}. `,
      ...newestGood(known),
      ' Free space or keep fewer backups.',
    ],
    facts: nextRun(known),
    actions: usual,
  };
}

function failedFact(run: Run, { status, zone }: Known): Fact {
  const failed = run.steps.find((step) => step.state === 'failed');
  const where = failed === undefined ? 'failed' : `stopped at “${stepWord(failed.name, status.targets)}”`;
  return {
    icon: 'alert',
    mood: 'no',
    text: `Run ${clockTime(Date.parse(run.startedAt), zone)} ${where}`,
  };
}

export function notCapturedWords({ status }: Known): Words {
  return {
    icon: 'shield-alert',
    headline: 'Commits are not captured',
    say: [
      `${status.verdict.detail ?? ''} Backups are made as before; what is committed between two of them is not covered meanwhile.`,
    ],
    facts: [],
    actions: ['backup'],
  };
}

export function behindWords({ status }: Known): Words {
  return {
    icon: 'cloud-off',
    headline: 'Commits wait for a target',
    say: [`${status.verdict.detail ?? ''} They are captured on this machine, and shipped as soon as that is possible.`],
    facts: [],
    actions: [],
  };
}
