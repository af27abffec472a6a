/**
 * What is worth waking somebody for, and in which words. Pure. A concern is a state of affairs and no event: it begins,
 * lasts and ends, so that it can be said once however often it is looked at.
 */
import { VERSION } from '../../version.ts';
import { type ErrorBody, publicError } from '../../words/errors.ts';
import { visibleText } from '../../words/visible-text.ts';
import type { Status, TargetStatus } from '../protection/shown-status.ts';
import type { Run, RunTotal } from '../../words/run.ts';
import { lossText } from '../protection/loss-text.ts';
import { targetWord } from '../../words/target-word.ts';

/**
 * `missing`: the database's file is gone. `loss`: a backup lost much against the one before, and nobody has said that it
 * was meant. `damaged`: the newest backup failed a check. `stale`: no good backup is young enough. `failed`: the last
 * backup run failed. `offsite`: uploads fail, and what is at a target is too old. `drill`: a rehearsal of a restore failed.
 * `check`: a backup that is not the newest, or a copy at a target, failed a check. The worst first.
 */
export const concerns = ['missing', 'loss', 'damaged', 'stale', 'failed', 'offsite', 'drill', 'check'] as const;
export type Concern = (typeof concerns)[number];

export interface Situation {
  readonly status: Status;
  readonly concerns: readonly Concern[];
  /** After a night without power the first backup ends it; one that hangs for long ends nothing. */
  readonly isStaleAboutToEnd: boolean;
  /** What is there is still too old, though the last try went well: the next may fail again. */
  readonly isOffsiteLasting: boolean;
  /** The run that failed, or why S3 can't be used. */
  readonly error: ErrorBody | null;
}

export interface SituationFacts {
  readonly status: Status;
  /** Newest first, of kind `backup`: a run that was stopped or refused mends nothing, and is not among them. */
  readonly lastRuns: readonly Run[];
  readonly totals: readonly RunTotal[];
}

export function assessSituation({ status, lastRuns, totals }: SituationFacts): Situation {
  // A run that found no file says what the missing file says, and before the first backup and after its return nothing.
  const foundNone = lastRuns.find(({ error }) => error?.code === 'DB_MISSING');
  const last = lastRuns.find(({ error }) => error?.code !== 'DB_MISSING');
  const isMissing = status.freshness.cause === 'missing';
  const failure = last?.result === 'failed' ? last.error : null;
  const current: Record<Concern, boolean> = {
    missing: isMissing,
    loss: status.loss !== null,
    damaged: status.freshness.cause === 'damaged',
    // Nothing younger can be made of what is not there.
    stale: isStale(status, totals) && !isMissing,
    failed: last?.result === 'failed',
    offsite: staleTargets(status).length > 0,
    drill: failedDrills(status).length > 0,
    // `damaged` tells of the newest one.
    check: status.freshness.cause !== 'damaged' && damagedAt(status).length > 0,
  };
  return {
    status,
    concerns: concerns.filter((concern) => current[concern]),
    isStaleAboutToEnd: isAboutToEnd(status),
    isOffsiteLasting: lateTargets(status).length > 0,
    error: (isMissing ? foundNone?.error : null) ?? failure ?? staleTargets(status)[0]?.error ?? null,
  };
}

/** Before the very first backup nothing is missing yet; a folder that was emptied is. */
function isStale({ freshness: { state } }: Status, totals: readonly RunTotal[]): boolean {
  const wasProtected = totals.some(({ kind, result }) => kind === 'backup' && result === 'success');
  return state === 'late' || (state === 'unprotected' && wasProtected);
}

function isAboutToEnd({ run, serverTime, maxAgeMinutes }: Status): boolean {
  return run?.kind === 'backup' && serverTime.getTime() - run.startedAt.getTime() < maxAgeMinutes * 60_000;
}

function failedDrills({ freshness }: Status): readonly string[] {
  return freshness.targets.flatMap(({ target, drill }) => (drill?.result === 'failed' ? [target] : []));
}

function damagedAt({ freshness }: Status): readonly string[] {
  return freshness.targets.flatMap(({ target, damaged }) => (damaged > 0 ? targetWord(target) : []));
}

function staleTargets(status: Status): readonly TargetStatus[] {
  return lateTargets(status).filter(({ error }) => error !== null);
}

function lateTargets({ targets, freshness, serverTime, maxAgeMinutes }: Status): readonly TargetStatus[] {
  return targets.filter(({ target, enabled, waiting }) => {
    if (!enabled || waiting === 0) return false;
    const goodAt = freshness.targets.find((fresh) => fresh.target === target)?.goodAt ?? null;
    return goodAt === null || serverTime.getTime() - goodAt.getTime() > maxAgeMinutes * 60_000;
  });
}

/** Chats take no longer ones. */
const TEXT_MAX = 1_500;

export interface Change {
  /** What counts as said when this was said. */
  readonly said: readonly Concern[];
  /** Null when there is nothing new. */
  readonly message: Message | null;
}

type Message = Readonly<Record<string, unknown>> & { readonly event: Concern | 'recovered' };

/** What is to be said when these concerns were said last. */
export function changeSince(before: readonly Concern[], situation: Situation): Change {
  const said = concerns.filter((concern) => {
    const isThere = situation.concerns.includes(concern);
    if (concern === 'stale') return isThere && (before.includes('stale') || !situation.isStaleAboutToEnd);
    return isThere || (concern === 'offsite' && before.includes('offsite') && situation.isOffsiteLasting);
  });
  const added = said.filter((concern) => !before.includes(concern));
  const ended = before.filter((concern) => !said.includes(concern));
  const event = added[0] ?? (ended.length > 0 ? 'recovered' : undefined);
  return { said, message: event === undefined ? null : compose(event, { said, added, ended }, situation) };
}

/** What a person sends to see whether it arrives. */
export function testMessage(database: string, now: Date): object {
  const text = plain(`A test by Velist Backup: messages about the backups of ${database} arrive here.`);
  return { text, content: text, allowed_mentions: { parse: [] }, event: 'test', database, at: now, version: VERSION };
}

function compose(
  event: Message['event'],
  { said, added, ended }: Readonly<Record<'said' | 'added' | 'ended', readonly Concern[]>>,
  situation: Situation,
): Message {
  const { status } = situation;
  const error = situation.error && publicError(situation.error);
  const lines = [
    ...added.map((concern) => sentence[concern](status, error)),
    ...(said.length === 0 ? [`Backups of ${status.database.name} are fine again.`] : []),
    ...(said.length > 0 && ended.length > 0 ? [`Solved: ${ended.map((concern) => inShort[concern]).join(', ')}.`] : []),
  ];
  const lasting = said.filter((concern) => !added.includes(concern));
  if (event === 'recovered' && lasting.length > 0)
    lines.push(`Still open: ${lasting.map((concern) => inShort[concern]).join(', ')}.`);
  const text = plain([...lines, lastGoodText(status)].join('\n')).slice(0, TEXT_MAX);
  return {
    // Slack and Mattermost read the first, Discord the second.
    text,
    content: text,
    // Nobody is called by a name that a file happens to have.
    allowed_mentions: { parse: [] },
    event,
    concerns: said,
    ended,
    state: status.freshness.state,
    database: status.database.name,
    at: status.serverTime,
    lastGood: status.lastGood && { filename: status.lastGood.filename, holdsAt: status.lastGood.holdsAt },
    loss: status.loss && { filename: status.loss.filename, before: status.loss.before, tables: status.loss.tables },
    error: error && { code: error.code, message: plain(error.message), hint: plain(error.hint) },
    version: status.version,
  };
}

const sentence: Readonly<Record<Concern, (status: Status, error: ErrorBody | null) => string>> = {
  missing: ({ database }) =>
    `${database.name} is missing: there is no file at its path. No backup is removed until it is back.`,
  loss: ({ database, loss }) =>
    loss === null
      ? `Much was lost in ${database.name}.`
      : `Much was lost in ${database.name}: ${lossText(loss)}. The state before is kept in ${loss.before} until somebody confirms that it was intended.`,
  damaged: ({ database, verdict: { detail } }) =>
    `The newest backup of ${database.name} is ${detail === undefined ? 'damaged.' : `damaged or missing. ${detail}`}`,
  stale: ({ database, maxAgeMinutes }) =>
    `Backups of ${database.name} are too old: there is no good one from the last ${maxAgeMinutes} minutes.`,
  failed: ({ database }, error) => `The backup of ${database.name} failed${why(error)}`,
  offsite: (status, error) => {
    const waiting = staleTargets(status).map(
      ({ target, waiting: count }) => `${count} backups of ${status.database.name} wait for ${targetWord(target)}`,
    );
    return `${waiting.join(', ')}${why(error)}`;
  },
  drill: (status) =>
    `The restore of ${status.database.name} was rehearsed and failed (${failedDrills(status).join(', ')}). The run log says why.`,
  check: (status) =>
    `A stored backup of ${status.database.name} did not pass its check (${damagedAt(status).join(', ')}). The list of backups says which.`,
};

const inShort: Readonly<Record<Concern, string>> = {
  missing: 'a missing database',
  loss: 'a loss that nobody has confirmed',
  damaged: 'a damaged newest backup',
  stale: 'backups that are too old',
  failed: 'failing backups',
  offsite: 'failing uploads',
  drill: 'a failed rehearsal of a restore',
  check: 'a stored backup that failed its check',
};

function why(error: ErrorBody | null): string {
  return error ? `: ${error.message} (${error.code}). ${error.hint}` : '.';
}

function lastGoodText({ lastGood }: Status): string {
  if (!lastGood) return 'There is no good backup.';
  return `The newest good one is ${lastGood.filename}, known to be the whole truth at ${lastGood.holdsAt.toISOString()}.`;
}

/** Without names and passwords in addresses, and without what a chat takes for a link or a call. */
function plain(text: string): string {
  // A chat calls whoever stands behind an @, and a file or user may be named so.
  return visibleText(text)
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1')
    .replaceAll(/[<>]/g, '')
    .replaceAll('@', '@\u200b');
}
