/**
 * The verdict in words. The server decides which verdict holds; this says it: what happened, what still holds, what to
 * do, in that order, and offers the button that helps. Pure, and it claims nothing that the server did not say: without
 * a stored placement there is no "copy in S3", without a verified backup no "it opens".
 */
import type { Run, RunProgress, Status } from '../http/contract.ts';
import { missedLately } from './chart.ts';
import {
  age,
  ago,
  clockTime,
  countdown,
  duration,
  minutes,
  moment,
  nameTime,
  plural,
  sentence,
  size,
} from './format.ts';
import {
  copiesOf,
  type Fact,
  type Icon,
  type Known,
  newestGood,
  nextRun,
  type Phrase,
  type Tone,
  usual,
  type VerdictWords,
  type Words,
} from './verdict-parts.ts';
import {
  foreignWords,
  lossWords,
  missingWords,
  notCapturedWords,
  stalledWords,
  writerWords,
} from './verdict-alarms.ts';
import { stepWords, targetList, triggerWords } from './words.ts';

const tones: Record<Status['verdict']['tone'], Tone> = {
  green: 'good',
  amber: 'warn',
  red: 'bad',
  blue: 'busy',
  grey: 'calm',
};

export function verdictWords(known: Known): VerdictWords {
  const { status } = known;
  const tone = tones[status.verdict.tone];
  switch (status.verdict.code) {
    case 'running':
    case 'restoring':
      return { tone, ...runningWords(known) };
    case 'protected':
      return { tone, ...protectedWords(known) };
    case 'restored':
      return { tone, ...restoredWords(known) };
    case 'none':
      return { tone, ...noneWords(known) };
    case 'too-old':
      return { tone, ...tooOldWords(known) };
    case 'missing':
      return { tone, ...missingWords(known) };
    case 'loss':
      return { tone, ...lossWords(known) };
    case 'stalled':
      return { tone, ...stalledWords(known) };
    case 'not-captured':
      return { tone, ...notCapturedWords(known) };
    case 'foreign-place':
      return { tone, ...foreignWords(known) };
    case 'other-writer':
    case 'cloned':
      return { tone, ...writerWords(known) };
    case 'damaged':
      return { tone, ...damagedWords(known) };
    case 'changed':
      return { tone, ...changedWords(known) };
    case 'last-failed':
      return { tone, ...lastFailedWords(known) };
    case 's3-waiting':
      return { tone, ...s3WaitingWords(known) };
    case 'off':
      return { tone, ...offWords(known) };
    case 'disk-low':
      return { tone, ...diskLowWords(known) };
  }
}

/** What is shown when the stream is gone: the last truth, with its time. */
export function lostWords(options: {
  now: number;
  zone: string;
  retryMs: number;
  /** The server's words, when it answers but shows nothing. */
  refusal: { readonly message: string; readonly hint: string } | null;
  knownSomething: boolean;
  before: string | null;
}): VerdictWords {
  const { now, zone, retryMs, refusal, knownSomething, before } = options;
  if (refusal !== null) {
    return {
      tone: 'calm',
      icon: 'shield-off',
      headline: 'You may not see this page',
      say: [`${sentence(refusal.message)} ${sentence(refusal.hint)} Backups go on without this page.`],
      facts: [],
      actions: ['reload'],
    };
  }
  const facts: Fact[] = before === null ? [] : [{ icon: 'clock', mood: 'plain', text: `Then: ${before}` }];
  const shown = knownSomething ? `This is what was known at ${clockTime(now, zone)}. ` : 'Nothing is known yet. ';
  return {
    tone: 'calm',
    icon: 'wifi-off',
    headline: 'No contact with the server',
    say: [shown, retryMs > 0 ? `Trying again in ${Math.ceil(retryMs / 1000)} s.` : 'Trying again…'],
    facts,
    actions: ['reconnect'],
  };
}

function protectedWords(known: Known): Words {
  const { status, now, zone } = known;
  const { lastGood } = status;
  const base = {
    icon: 'shield-check',
    headline: 'Protected',
    actions: usual,
  } as const;
  if (lastGood === null)
    return {
      ...base,
      say: ['The server reports that all is well.'],
      facts: nextRun(known),
    };
  const created = Date.parse(lastGood.createdAt);
  const holds = Date.parse(lastGood.holdsAt);
  const copies = copiesOf(known, lastGood.filename);
  const copy =
    copies.length === 0 ? '.' : `, and ${copies.length > 1 ? 'copies are' : 'a copy is'} in ${targetList(copies)}.`;
  const unchanged: Phrase[] =
    holds - created > 90_000
      ? [' Nothing had changed since then when it was last looked at, ', { strong: ago(holds, now) }, '.']
      : [];
  const facts: Fact[] = [
    {
      icon: 'check',
      mood: 'ok',
      text: `Verified ${clockTime(Date.parse(lastGood.verifiedAt), zone)}`,
    },
  ];
  const targets = status.targets.filter(({ enabled }) => enabled);
  if (targets.length > 0 && targets.every(({ waiting, stored }) => waiting === 0 && stored > 0))
    facts.push({
      icon: 'drive',
      mood: 'ok',
      text: `Every upload has arrived in ${targetList(targets)}`,
    });
  return {
    ...base,
    say: [
      'Last good backup ',
      { strong: ago(created, now) },
      `. It opens${copy === '.' ? ' and' : ','} passed its ${checkName(known, lastGood.filename)}${copy}`,
      ...unchanged,
    ],
    facts: [...facts, ...nextRun(known)],
  };
}

function restoredWords(known: Known): Words {
  const { status, now, zone } = known;
  const { undo, lastRun, database } = status;
  const facts: Fact[] = [];
  if (lastRun !== null && (lastRun.kind === 'restore' || lastRun.kind === 'undo') && lastRun.result === 'success') {
    if (lastRun.steps.some((step) => step.name === 'prove' && step.state === 'done'))
      facts.push({
        icon: 'check',
        mood: 'ok',
        text: 'The result was opened and checked',
      });
    facts.push({
      icon: 'clock',
      mood: 'plain',
      text: `Took ${duration(Date.parse(lastRun.endedAt) - Date.parse(lastRun.startedAt))}`,
    });
  }
  if (undo === null)
    return {
      icon: 'check',
      headline: 'Restored',
      say: [{ code: database.name }, ' was restored.'],
      facts,
      actions: ['dismiss', 'backup'],
    };
  const time = nameTime(undo.restored);
  return {
    icon: 'check',
    headline: 'Restored',
    say: [
      { code: database.name },
      time === null ? ' was restored ' : ` is back to ${moment(time, now, zone)}, restored `,
      ago(Date.parse(undo.at), now),
      '. The data from before is kept as a safety copy, so this can be undone.',
    ],
    facts,
    actions: ['dismiss', 'undo', 'backup'],
  };
}

function noneWords(known: Known): Words {
  const { status, now } = known;
  const { database, schedule, lastBackupRun: lastRun } = status;
  const base = {
    icon: 'shield-off',
    headline: 'Not protected yet',
    actions: usual,
  } as const;
  if (!database.exists)
    return {
      ...base,
      say: ['There is no file at ', { code: database.path }, ', so there is nothing to back up. Check DATABASE_URL.'],
      facts: [],
    };
  const failure: Phrase[] =
    lastRun?.result === 'failed' && lastRun.error !== null
      ? [` The last try failed: ${sentence(lastRun.error.message)} ${lastRun.error.hint}`]
      : [];
  const next =
    schedule.enabled && schedule.nextRunAt !== null
      ? ` The first automatic one starts in ${countdown(Date.parse(schedule.nextRunAt) - now)}, or start it yourself.`
      : ' Auto-backup is off: start one yourself, or turn it on.';
  return {
    ...base,
    say: ['There is no backup of ', { code: database.path }, '.', ...failure, next],
    facts: [],
  };
}

function tooOldWords(known: Known): Words {
  const { status, now, zone } = known;
  const { lastGood, lastBackupRun: lastRun, maxAgeMinutes, schedule } = status;
  const facts: Fact[] = [];
  if (lastRun?.result === 'failed' && lastRun.error !== null)
    facts.push(failedFact(lastRun, zone), {
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

function damagedWords(known: Known): Words {
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

function changedWords(known: Known): Words {
  const detail = known.status.verdict.detail ?? 'The file of the newest backup was changed after it was published.';
  return {
    icon: 'shield-alert',
    headline: 'A backup was changed',
    say: [`${detail} `, ...newestGood(known)],
    facts: nextRun(known),
    actions: usual,
  };
}

function lastFailedWords(known: Known): Words {
  const { status, now, zone } = known;
  const { lastBackupRun: lastRun } = status;
  const error = lastRun?.error ?? null;
  const facts: Fact[] = lastRun === null ? [] : [failedFact(lastRun, zone)];
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

function s3WaitingWords(known: Known): Words {
  const { status, now } = known;
  const wanting = status.targets.filter(({ enabled, error, waiting }) => enabled && (error !== null || waiting > 0));
  const failing = wanting.filter(({ error }) => error !== null);
  const places = targetList(failing.length > 0 ? failing : wanting) || 'S3';
  const s3 = failing[0] ?? wanting[0] ?? status.s3;
  const facts: Fact[] = [];
  if (status.lastGood !== null)
    facts.push({
      icon: 'check',
      mood: 'ok',
      text: `Last good backup ${ago(Date.parse(status.lastGood.createdAt), now)}`,
    });
  if (s3.nextTryAt !== null)
    facts.push({
      icon: 'retry',
      mood: 'plain',
      text: `Next try in ${countdown(Date.parse(s3.nextTryAt) - now)}`,
    });
  const reason = s3.error === null ? sentence(status.verdict.detail ?? '') : sentence(s3.error.message);
  const hint =
    s3.error === null || s3.error.hint === '' ? 'They are sent as soon as it answers.' : sentence(s3.error.hint);
  return {
    icon: 'cloud-off',
    headline:
      s3.error === null
        ? `Protected here, not yet in ${places}`
        : `Protected here, but ${places} ${failing.length > 1 ? 'are' : 'is'} not reachable`,
    say: [
      `${reason} Local backups go on. `,
      ...(s3.waiting === 0
        ? []
        : [
            { strong: plural(s3.waiting, 'backup') },
            ` ${s3.waiting === 1 ? 'waits' : 'wait'} to be uploaded. ${hint}`,
          ]),
    ],
    facts,
    actions: s3.error === null ? usual : ['test-connection', 'backup'],
  };
}

function offWords(known: Known): Words {
  return {
    icon: 'shield-off',
    headline: 'Auto-backup is off',
    say: ['Nothing is backed up unless you press Backup Now. ', ...newestGood(known)],
    facts: [],
    actions: ['turn-on', 'backup'],
  };
}

function diskLowWords(known: Known): Words {
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

const runIcons: Record<Run['kind'], Icon> = {
  backup: 'database',
  verify: 'badge-check',
  upload: 'cloud',
  restore: 'restore',
  undo: 'restore',
  drill: 'badge-check',
};

function runningWords(known: Known): Words {
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
        headline: 'Uploading to S3…',
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
  }
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

function failedFact(run: Run, zone: string): Fact {
  const failed = run.steps.find((step) => step.state === 'failed');
  const where = failed === undefined ? 'failed' : `stopped at “${stepWords[failed.name]}”`;
  return {
    icon: 'alert',
    mood: 'no',
    text: `Run ${clockTime(Date.parse(run.startedAt), zone)} ${where}`,
  };
}

function checkName(known: Known, filename: string): string {
  const verification = known.backups.find((candidate) => candidate.filename === filename)?.verification;
  return verification?.state === 'verified' && verification.method === 'full'
    ? 'full integrity check'
    : 'integrity check';
}
