/**
 * The checks that failed and that nothing has answered since: one rule for drills, for checks of backups in the folder and
 * for checks of copies elsewhere. Pure.
 *
 * A failed drill stands until a drill there proves the same backup or a newer one (`RunHistory.openDrill`), or, once that
 * backup is gone, any other; so does one of a captured moment. A copy that a check found damaged stands until it passes one
 * or is removed. A check that could not be made proves nothing and is not among them.
 */
import type { KnownBackup } from '../backups/backup-item.ts';
import { isBookmark } from '../../words/restore-point.ts';
import type { Run } from '../../words/run.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';

export interface FailedCheck {
  readonly kind: 'drill' | 'verify';
  readonly target: TargetName;
  /** Null if a drill found none that could be restored. */
  readonly backup: string | null;
  readonly at: Date;
  readonly why: string;
  /** The run, for a drill. */
  readonly run: string | null;
}

/** The folder, or a target that is on, with what was seen there last. */
export interface CheckedPlace {
  readonly target: TargetName;
  readonly copies: readonly KnownBackup[];
  readonly openDrill: Run | null;
  readonly lastDrill: Run | null;
  /** Drills of captured moments, if there were any there. */
  readonly moments?: DrilledMoments;
}

interface DrilledMoments {
  readonly open: Run | null;
  readonly last: Run | null;
  /** The oldest moment that is left. */
  readonly oldestAt: Date | null;
}

/** The drills first: they say that a restore fails. Then the newest backup first. */
export function failedChecks(places: readonly CheckedPlace[]): readonly FailedCheck[] {
  const drills = places.flatMap(({ target, copies, openDrill, lastDrill, moments }) => {
    const isGone = !copies.some(({ name }) => name === openDrill?.backup);
    const ofBackup = openDrill === null || (isGone && lastDrill?.result === 'success') ? null : openDrill;
    return [ofBackup, moments ? standingMoment(moments) : null].flatMap((run) =>
      run === null ? [] : toFailedDrill(target, run),
    );
  });
  const isTold = (target: TargetName, name: string) =>
    drills.some((drill) => drill.target === target && drill.backup === name);
  const damaged = places.flatMap(({ target, copies }) =>
    copies.flatMap((copy) => {
      const found = copy.other || isTold(target, copy.name) ? null : damageOf(target, copy);
      return found ? { kind: 'verify' as const, target, backup: copy.name, run: null, ...found } : [];
    }),
  );
  return [...drills, ...damaged.toSorted((a, b) => (a.backup < b.backup ? 1 : a.backup > b.backup ? -1 : 0))];
}

function standingMoment({ open, last, oldestAt }: DrilledMoments): Run | null {
  const at = open?.drill?.moment;
  const isGone = at != null && oldestAt !== null && new Date(at) < oldestAt;
  return isGone && last?.result === 'success' ? null : open;
}

/** In one sentence. */
export function failedCheckText({ kind, target, backup, why }: FailedCheck): string {
  const where = target === 'local' ? 'in the folder' : `on ${targetWord(target)}`;
  if (kind === 'verify') return `${backup} ${where} did not pass its last check: ${why}.`;
  if (backup === null) return `The drill ${where} failed: ${why}.`;
  return `The drill of ${isBookmark(backup) ? `the moment ${backup}` : backup} ${where} failed: ${why}.`;
}

function toFailedDrill(target: TargetName, { id, backup, endedAt, error }: Run): FailedCheck {
  return { kind: 'drill', target, backup, at: endedAt, why: error?.message ?? 'no reason was given', run: id };
}

/**
 * A manifest that a target did not show just now is no damage, and takes none back that a check found; one in the folder
 * that can't be read is damage.
 */
function damageOf(
  target: TargetName,
  { fault, manifest, createdAt }: KnownBackup,
): Pick<FailedCheck, 'at' | 'why'> | null {
  if (fault && target === 'local') return { at: createdAt, why: fault };
  const { complaint = null, at } = manifest?.verification ?? {};
  return complaint === null || at === undefined ? null : { at: new Date(at), why: complaint };
}
