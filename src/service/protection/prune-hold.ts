/**
 * While the live database is damaged, its old backups are all there is. So once a run found damage, nothing is removed
 * at any target, by nobody's wish, until a backup succeeds again. Which runs say so, and in which words.
 */
import type { ErrorCode } from '../../words/errors.ts';
import type { Run } from '../model.ts';

const words: Partial<Record<ErrorCode, string>> = {
  DB_DAMAGED: 'the live database is damaged',
  // Damage of the first page, or a file cut to nothing.
  NOT_SQLITE: 'the live database can not be read as one',
  DB_EMPTY: 'the live database is empty',
  VERIFY_FAILED: 'the last copy of the live database failed its check',
};

/** Codes of a failed backup run that hold everything back. */
export const holdingCodes = Object.keys(words) as readonly ErrorCode[]; // its own keys

/** @param judgement the newest backup run that succeeded or failed with one of the codes above. */
export function pruneHold(judgement: Run | null): string | null {
  const why = judgement?.error && words[judgement.error.code];
  return why ? `held: ${why} (${judgement.error.code}), nothing is removed until a backup succeeds` : null;
}
