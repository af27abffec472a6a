/**
 * Finds out what a new backup lost since the one before. That one may be from a version that counted nothing; its file
 * is then counted now, so that no loss slips through an upgrade.
 */
import { type Backup, inOrder } from '../catalog/folder-catalog.ts';
import type { DatabaseFacts, LossMark, Manifest } from '../format/manifest.ts';
import { type Earlier, type LossRules, markLoss, type OwnChange } from '../catalog/loss.ts';
import { countFile } from '../sqlite/verify.ts';

export interface LossQuestion {
  readonly rules: LossRules;
  /** Our own last change of the database. */
  readonly ownChange: OwnChange | null;
  /** The newest good backup that is at another target alone, with what was counted in it. */
  readonly elsewhere: Earlier | null;
}

/** @param here the backups of the folder, newest first. */
export function lossOf(made: Manifest, here: readonly Backup[], question: LossQuestion): LossMark | null {
  const { rules, ownChange, elsewhere } = question;
  return markLoss(made, withElsewhere(here, elsewhere), {
    rules,
    ownChange: ownChange && { ...ownChange, at: new Date(ownChange.at) },
    factsOf,
  });
}

/** A machine that was built anew has its history elsewhere. */
function withElsewhere(here: readonly Backup[], elsewhere: Earlier | null): readonly (Backup | Earlier)[] {
  if (elsewhere === null) return here;
  // It came as JSON.
  return inOrder<Backup | Earlier>([...here, { ...elsewhere, createdAt: new Date(elsewhere.createdAt) }]);
}

function factsOf(backup: Earlier | Backup): DatabaseFacts | null {
  if (backup.manifest?.facts) return backup.manifest.facts;
  return 'path' in backup ? countFile(backup.path) : null;
}
