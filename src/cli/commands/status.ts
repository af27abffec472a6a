/** How safe the database is, as a text and an exit code. */
import type { Work } from '../session.ts';
import type { ContinuousStatus, PlaceStatus, Status, TargetStatus, VerdictCode } from '../../service/model.ts';
import { exitCodes } from '../exit-codes.ts';
import { lagSeconds } from '../../service/continuous/continuous-status.ts';
import type { TargetFreshness } from '../../service/protection/freshness.ts';
import { agoText, durationText, sizeText } from '../output.ts';
import { failedCheckText } from '../../service/protection/failed-checks.ts';
import { lossText } from '../../service/protection/loss-text.ts';
import { BRING_BACK } from '../../service/protection/missing.ts';
import { targetWord } from '../../words/target-word.ts';
import { stateMarks } from '../text/colours.ts';
import { wrapped } from '../text/tables.ts';

export const showStatus: Work = async ({ service, output, now }) => {
  const status = await service.getStatus();
  output.answer(status, statusText(status, now(), output.width), stateMarks);
  return statusExitCode(status);
};

/** 0 only when all is well, so that `velist-backup status || …` may raise the alarm. */
export function statusExitCode({ freshness: { state, cause }, local }: Status): number {
  if (state === 'protected') return exitCodes.done;
  if (state === 'unprotected' && local.count === 0) return exitCodes.noBackup;
  if (cause === 'damaged' || cause === 'check-failed') return exitCodes.verificationFailed;
  if (state === 'unprotected') return exitCodes.noBackup;
  return state === 'at-risk' && elsewhereCauses.has(cause) ? exitCodes.notEverywhere : exitCodes.failed;
}

/** The local backups are good; a copy elsewhere is missing, or may be. */
const elsewhereCauses: ReadonlySet<VerdictCode> = new Set(['s3-waiting', 'behind', 'other-writer', 'cloned']);

function provenText({ target, proven, drill }: TargetFreshness, now: Date): string {
  const at = (moment: Date) => agoText(moment, now);
  const last = proven === null ? 'never' : `${at(proven.at)}, ${(proven.ms / 1_000).toFixed(1)} s`;
  const failed = drill?.result === 'failed' ? `; the drill ${at(drill.at)} FAILED` : '';
  const sealed = drill?.result === 'sealed' ? `; ${at(drill.at)} all but the content, for want of the key` : '';
  return `${last}${failed}${sealed} (${target})`;
}

function statusText(status: Status, now: Date, terminal: number | undefined): string {
  const { lastGood, schedule, local, s3, targets, freshness } = status;
  const ago = (moment: Date | null) => (moment === null ? 'never' : agoText(moment, now));
  const { state } = freshness;
  const { code } = status.verdict;
  const each = (moment: (target: TargetFreshness) => Date | null) =>
    freshness.targets.map((target) => `${ago(moment(target))} (${target.target})`).join('; ');
  const changed = freshness.changedAt === null ? '' : `, changed ${ago(freshness.changedAt)}`;
  const further = targets.filter(({ target }) => target !== 's3');
  const rows = [
    ['status', code === state ? state : `${state} (${code})`],
    ['state', state],
    ...(status.failedCheck ? [['failed', failedText(status.failedCheck, now)]] : []),
    ...(status.loss ? [['loss', `${lossText(status.loss)} (${status.loss.filename})`]] : []),
    [
      'database',
      `${status.database.path}${status.database.exists ? `, ${databaseSizeText(status.database)}${changed}` : ', missing'}`,
    ],
    ['last good', lastGood ? `${lastGood.filename}, ${ago(lastGood.createdAt)}` : 'none'],
    ['good', each(({ goodAt }) => goodAt)],
    ['checked', each(({ verifiedAt }) => verifiedAt)],
    ['proven', status.freshness.targets.map((target) => provenText(target, now)).join('; ')],
    ['schedule', schedule.enabled ? (schedule.cron ?? `every ${schedule.intervalMinutes} minutes`) : 'off'],
    [
      'local',
      `${local.path}, ${local.count} backup${local.count === 1 ? '' : 's'}, ${sizeText(local.sizeBytes)}, ${sizeText(local.freeBytes)} free`,
    ],
    ...(status.continuous ? [['captured', capturedText(status.continuous, now)]] : []),
    ...(status.continuous?.targets.map((target) => ['shipped', shippedText(target, now)]) ?? []),
    ...(s3.configured || further.length === 0
      ? [['s3', s3.enabled ? remoteText({ ...s3, ...targets.find(({ target }) => target === 's3') }, now) : 'off']]
      : []),
    ...further.map((target) => [target.target, remoteText(target, now)]),
    ...status.places.flatMap(placeRow),
    ...status.places.flatMap((place) => writerRows(place, now)),
  ];
  const width = Math.max(10, ...rows.map(([name = '']) => name.length));
  const lines = rows.map(([name = '', value = '']) => wrapped(`${name.padEnd(width)} ${value}`, width + 1, terminal));
  return [...lines, ...(freshness.cause === 'missing' ? [missingText(status, now)] : [])].join('\n');
}

/** `0.8 s behind, any moment since …`, or why not. */
function capturedText({ concern, caughtUpAt, oldestAt, phase, sizeBytes, drill }: ContinuousStatus, now: Date): string {
  const drilled = drill === null ? '' : `; the drill of a moment ${agoText(drill.at, now)} ${drillWords[drill.result]}`;
  if (concern !== null) return concern;
  if (phase !== 'capturing' || caughtUpAt === null) return phase + drilled;
  const behind = ((now.getTime() - caughtUpAt.getTime()) / 1_000).toFixed(1);
  const since = oldestAt === null ? '' : `, moments since ${oldestAt.toISOString()}`;
  return `${behind} s behind${since}, ${sizeText(sizeBytes)}${drilled}`;
}

/** `s3, all of it, moments since …`, or how far it is behind, and why. */
function shippedText(target: ContinuousStatus['targets'][number], now: Date): string {
  const { name, behindSince, waitingBytes, oldestAt, sizeBytes, error } = target;
  const behind =
    behindSince === null
      ? 'all that was captured'
      : `${lagSeconds(target, now).toFixed(1)} s behind, ${sizeText(waitingBytes)} to go`;
  const since = oldestAt === null ? '' : `, moments since ${oldestAt.toISOString()}`;
  const size = sizeBytes === null ? '' : `, ${sizeText(sizeBytes)}`;
  return `${name}: ${behind}${since}${size}${error === null ? '' : `; ${error.message}`}`;
}

/** A backup is as large as the database without its log. */
function databaseSizeText({ sizeBytes, logBytes }: Status['database']): string {
  return `${sizeText(sizeBytes - logBytes)}${logBytes > 0 ? `, log ${sizeText(logBytes)}` : ''}`;
}

const drillWords = { proven: 'proved it', failed: 'FAILED' } as const;

function failedText(check: NonNullable<Status['failedCheck']>, now: Date): string {
  const more = check.more === 0 ? '' : ` (${check.more} more)`;
  return `${agoText(check.at, now)}: ${failedCheckText(check)}${more}`;
}

function missingText({ database, lastGood }: Status, now: Date): string {
  const newest = lastGood ? `${lastGood.filename}, ${agoText(lastGood.createdAt, now)}` : 'none';
  return `${database.name} is missing. Newest good backup: ${newest}.${lastGood ? `\n${BRING_BACK}` : ''}`;
}

/** Only where there is something to say. */
function writerRows({ target, writer, sparesOthersUntil }: PlaceStatus, now: Date): readonly (readonly string[])[] {
  const word = targetWord(target);
  const ago = (moment: Date) => `${durationText(now.getTime() - moment.getTime())} ago`;
  const rows: string[][] = [];
  if (writer) {
    const who = writer.kind === 'clone' ? `a copy of this machine (${writer.host})` : writer.host;
    const does = writer.kind === 'clone' ? 'wants to write' : 'writes';
    const seen = writer.seenAt === null ? '' : `, seen ${ago(writer.seenAt)}`;
    rows.push([
      'writer',
      `${word}: ${who} ${does} there since ${ago(writer.since)}${seen}; velist-backup doctor says what to do`,
    ]);
  }
  if (sparesOthersUntil)
    rows.push(['spares', `${word}: what other installations made stays until ${sparesOthersUntil.toISOString()}`]);
  return rows;
}

function placeRow({ target, owner, other }: Status['places'][number]): string[][] {
  if (owner === 'mixed')
    return [['identity', `${target} holds backups of several databases, told apart by their manifests`]];
  if (!other) return [];
  const since = other.createdAt === null ? '' : ` since ${other.createdAt.toISOString()}`;
  return [['identity', `${target} belongs to another database, ${other.name}${since}; nothing is written there`]];
}

/** `my-backups/backups/database, 9 stored`, or what it waits for first: `waiting for 3 uploads, next try in 40 s: …; …` */
function remoteText(
  {
    bucket,
    path,
    stored,
    waiting,
    nextTryAt,
    error,
    listedAt,
    lifecycleDays,
  }: Omit<Status['s3'], 'configured'> & Partial<Pick<TargetStatus, 'lifecycleDays'>>,
  now: Date,
): string {
  const seen = listedAt === null ? '' : ` (seen ${agoText(listedAt, now)})`;
  const removal = !lifecycleDays ? '' : `, removal is left to the bucket after ${lifecycleDays} days`;
  const there = `${bucket === null ? path : `${bucket}/${path}`}, ${stored} stored${seen}${removal}`;
  const why = error === null ? '' : `: ${error.message}`;
  if (waiting === 0) return there + (error === null ? '' : `; can't be used${why}`);
  const waitMs = nextTryAt === null ? 0 : nextTryAt.getTime() - now.getTime();
  const next = waitMs > 0 ? `, next try in ${durationText(waitMs)}` : '';
  const uploads = bucket === null ? (waiting === 1 ? 'copy' : 'copies') : waiting === 1 ? 'upload' : 'uploads';
  return `waiting for ${waiting} ${uploads}${next}${why}; ${there}`;
}
