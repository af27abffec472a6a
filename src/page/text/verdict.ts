/**
 * The verdict in words. The server decides which verdict holds; this says it: what happened, what still holds, what to
 * do, in that order, and offers the button that helps. Pure, and it claims nothing that the server did not say: without
 * a stored placement there is no "copy in S3", without a verified backup no "it opens".
 */
import type { Status } from '../../http/contract.ts';
import { ago, clockTime, countdown, duration, moment, nameTime, sentence } from './format.ts';
import { foreignWords, lossWords, missingWords, writerWords } from './verdict-alarms.ts';
import {
  copiesOf,
  type Fact,
  type Known,
  nextRun,
  type Phrase,
  type Tone,
  usual,
  type VerdictWords,
  type Words,
} from './verdict-parts.ts';
import { runningWords } from './verdict-running.ts';
import {
  changedWords,
  checkFailedWords,
  damagedWords,
  diskLowWords,
  lastFailedWords,
  notCapturedWords,
  behindWords,
  offWords,
  s3WaitingWords,
  stalledWords,
  tooOldWords,
} from './verdict-trouble.ts';
import { targetList } from './targets.ts';

const tones: Record<Status['verdict']['tone'], Tone> = {
  green: 'good',
  amber: 'warn',
  red: 'bad',
  blue: 'busy',
  grey: 'calm',
};

export function verdictWords(known: Known): VerdictWords {
  const words = wordsOf(known);
  // The settings are within reach whatever holds, except in the middle of a restore.
  if (known.status.verdict.code === 'restoring' || words.actions.includes('configure')) return words;
  return { ...words, actions: ['configure', ...words.actions] };
}

function wordsOf(known: Known): VerdictWords {
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
    case 'behind':
      return { tone, ...behindWords(known) };
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
    case 'check-failed':
      return { tone, ...checkFailedWords(known) };
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
      text: `Every copy has arrived in ${targetList(targets)}`,
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

function checkName(known: Known, filename: string): string {
  const verification = known.backups.find((candidate) => candidate.filename === filename)?.verification;
  return verification?.state === 'verified' && verification.method === 'full'
    ? 'full integrity check'
    : 'integrity check';
}
