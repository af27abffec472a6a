/**
 * The one sentence at the top of the page, decided here by the server's clock: the first that applies. Pure.
 *
 * Green is a promise: the newest backup passed its check, and each of its copies was seen where it belongs.
 */
import type { ErrorBody } from '../../words/errors.ts';
import type { PlaceWriter } from '../targets/shown-place.ts';
import type { Run, RunProgress } from '../../words/run.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';

export type VerdictCode =
  | 'restoring'
  | 'running'
  | 'restored'
  | 'missing'
  | 'loss'
  | 'foreign-place'
  | 'stalled'
  | 'not-captured'
  | 'behind'
  | 'other-writer'
  | 'cloned'
  | 'none'
  | 'too-old'
  | 'damaged'
  | 'changed'
  | 'last-failed'
  | 'check-failed'
  | 's3-waiting'
  | 'off'
  | 'disk-low'
  | 'protected';

export interface Verdict {
  readonly code: VerdictCode;
  readonly tone: 'green' | 'amber' | 'red' | 'blue' | 'grey';
  /** One sentence, where code and status alone do not say what is wrong. */
  readonly detail?: string;
}

export interface VerdictInput {
  readonly now: Date;
  readonly run: RunProgress | null;
  readonly lastBackupRun: Run | null;
  /** That nobody has put away. */
  readonly lastRestore: Run | null;
  readonly hasBackup: boolean;
  /** `missing`: gone, and backed up before. `awaited`: not there, and never backed up: the app has not made it yet. */
  readonly file: 'there' | 'missing' | 'awaited';
  /** The newest backup of ours did not pass a check. */
  readonly newestDamaged: boolean;
  /** The newest backup of ours passed its check, and its file was written to since. */
  readonly newestChanged?: string | null;
  /** The newest backup that was made here, where its file is gone and nobody is known to have removed it. */
  readonly vanished: string | null;
  /** Why the folder of the backups could not be listed. */
  readonly unlisted: ErrorBody | null;
  /** Much was lost, and nobody has said that it was meant. */
  readonly hasLoss: boolean;
  /** When the newest verified backup was last known to hold; null when there is none. */
  readonly goodAt: Date | null;
  readonly maxAgeMs: number;
  /** A drill, or a check of a stored backup, failed and nothing has answered that since; in one sentence. */
  readonly failedCheck?: string | null;
  /** A target that is on and has another writer, or a machine with our id that wants to be one. */
  readonly writerAt: (PlaceWriter & { readonly target: TargetName }) | null;
  /** Places of other databases, and whose they are. */
  readonly foreign?: readonly { readonly target: TargetName; readonly name: string }[];
  /** A target holds backups that this installation made and does not remember, the newest of that name. */
  readonly setBack?: { readonly target: TargetName; readonly backup: string } | null;
  /** A target beside the folder is on and could not be used at the last try. */
  readonly remoteFailing: boolean;
  /** The newest backup, and the targets that are on, do not hold it, and to which it is not on its way just now. */
  readonly notAt: { readonly backup: string; readonly targets: readonly TargetName[] } | null;
  readonly scheduleEnabled: boolean;
  /** Since when the schedule does not advance. */
  readonly stalledSince?: Date | null;
  /** The live file was changed by something that is no commit, or the stream is not what was captured. */
  readonly untrue?: string | null;
  /** Why commits are not captured, though they are to be. */
  readonly notCaptured?: string | null;
  /** Targets to which captured commits were not shipped for too long, and why not. */
  readonly behind?: readonly { readonly target: TargetName; readonly since: Date; readonly why: string | null }[];
  readonly freeBytes: number;
  readonly databaseBytes: number;
}

const RESTORED_SHOWN_MS = 3_600_000;
const DISK_FACTOR = 3;

export function judge(input: VerdictInput): Verdict {
  const nowMs = input.now.getTime();
  if (input.run && (input.run.kind === 'restore' || input.run.kind === 'undo'))
    return { code: 'restoring', tone: 'blue' };
  const standing = input.stalledSince ? stalled(input.stalledSince) : null;
  if (input.run) return standing ?? { code: 'running', tone: 'blue' };
  const sinceRestoreMs = input.lastRestore ? nowMs - input.lastRestore.endedAt.getTime() : Number.NaN;
  // A restore of the future was made before the clock went back; it hides nothing that came after.
  const isRestored =
    input.lastRestore?.result === 'success' && sinceRestoreMs >= 0 && sinceRestoreMs < RESTORED_SHOWN_MS;
  // What was restored and is gone again is not restored.
  if (isRestored && input.file !== 'missing') return { code: 'restored', tone: 'green' };
  if (input.unlisted) {
    const detail = `The backup folder can't be listed (${input.unlisted.code}), so its content is not known.`;
    return { code: 'damaged', tone: 'red', detail };
  }
  if (input.file === 'missing') return { code: 'missing', tone: 'red' };
  if (input.untrue) return { code: 'damaged', tone: 'red', detail: input.untrue };
  if (input.hasLoss) return { code: 'loss', tone: 'red' };
  const [foreign] = input.foreign ?? [];
  // Nothing can be backed up, whatever else is wrong.
  if (foreign?.target === 'local') return foreignPlace(foreign);
  const gone = input.vanished === null ? null : vanished(input.vanished);
  if (!input.hasBackup) {
    // A service that starts before its app has nothing to complain of.
    if (input.file === 'awaited') return { code: 'none', tone: 'grey' };
    // Nobody may take a first try that failed for one that was not made yet.
    if (input.lastBackupRun?.result === 'failed') return { code: 'last-failed', tone: 'red' };
    return gone ?? standing ?? { code: 'none', tone: 'grey' };
  }
  // A backup from far in the future, made before the clock went back, proves no more than an old one.
  if (input.goodAt && Math.abs(nowMs - input.goodAt.getTime()) > input.maxAgeMs)
    return { code: 'too-old', tone: 'red' };
  if (input.newestDamaged) return { code: 'damaged', tone: 'red' };
  if (input.newestChanged) {
    const detail = `The file of ${input.newestChanged} was changed after it was published; verify it.`;
    return { code: 'changed', tone: input.goodAt ? 'amber' : 'red', detail };
  }
  if (!input.goodAt) return { code: 'too-old', tone: 'red' };
  if (gone) return gone;
  if (standing) return standing;
  if (input.lastBackupRun?.result === 'failed') return { code: 'last-failed', tone: 'amber' };
  if (input.failedCheck) return { code: 'check-failed', tone: 'amber', detail: input.failedCheck };
  if (foreign) return foreignPlace(foreign);
  if (input.notCaptured) return { code: 'not-captured', tone: 'amber', detail: input.notCaptured };
  if (input.writerAt) return writerVerdict(input.writerAt);
  if (input.setBack) return setBack(input.setBack);
  if (input.behind?.[0]) return behind(input.behind[0]);
  if (input.remoteFailing) return { code: 's3-waiting', tone: 'amber' };
  if (input.notAt) {
    const { backup, targets } = input.notAt;
    const detail = `${backup} has no copy on ${targets.map(targetWord).join(' and ')}.`;
    return { code: 's3-waiting', tone: 'amber', detail };
  }
  if (!input.scheduleEnabled) return { code: 'off', tone: 'amber' };
  if (input.freeBytes < DISK_FACTOR * input.databaseBytes) return { code: 'disk-low', tone: 'amber' };
  return { code: 'protected', tone: 'green' };
}

function writerVerdict({ target, kind, host, since }: NonNullable<VerdictInput['writerAt']>): Verdict {
  const word = targetWord(target);
  if (kind === 'clone') {
    const detail = `Two machines with one id want to write to ${word}: one of them is a copy of the other (${host}).`;
    return { code: 'cloned', tone: 'amber', detail };
  }
  const detail = `${host} has been writing to ${word} since ${since.toISOString()}; nothing from here is stored or removed there.`;
  return { code: 'other-writer', tone: 'amber', detail };
}

function behind({ target, since, why }: NonNullable<VerdictInput['behind']>[number]): Verdict {
  const reason = why === null ? 'they are on their way' : why;
  const detail = `${targetWord(target)} does not hold what was committed since ${since.toISOString()}: ${reason}.`;
  return { code: 'behind', tone: 'amber', detail };
}

function foreignPlace({ target, name }: { readonly target: TargetName; readonly name: string }): Verdict {
  const place = target === 'local' ? 'The backup folder' : targetWord(target);
  const detail = `${place} holds the backups of another database, ${name}. Nothing of this one is written there.`;
  return { code: 'foreign-place', tone: 'amber', detail };
}

function setBack({ target, backup }: { readonly target: TargetName; readonly backup: string }): Verdict {
  const detail = `${targetWord(target)} holds ${backup}, which this machine made and does not remember: it was set back to an older image, or there is a clone of it.`;
  return { code: 'cloned', tone: 'amber', detail };
}

function stalled(since: Date): Verdict {
  const detail = `The schedule has been stuck since ${since.toISOString()}: a backup is waiting for its turn, or has stopped reporting.`;
  return { code: 'stalled', tone: 'red', detail };
}

function vanished(backup: string): Verdict {
  const detail = `${backup} is no longer in the backup folder, and it was not removed from here.`;
  return { code: 'damaged', tone: 'red', detail };
}
