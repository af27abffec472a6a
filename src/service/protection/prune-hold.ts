/**
 * While the live database is damaged, its old backups are all there is. So once a run found damage, nothing is removed
 * at any target, by nobody's wish, until a backup succeeds again. Which runs say so, and in which words.
 */
import { type ErrorCode, errorCodes, says } from '../../words/errors.ts';
import type { Run } from '../../words/run.ts';

const words: Partial<Record<ErrorCode, string>> = {
  DB_DAMAGED: 'the live database is damaged',
  // Damage of the first page, or a file cut to nothing.
  NOT_SQLITE: 'the live database cannot be read as one',
  DB_EMPTY: 'the live database is empty',
  VERIFY_FAILED: 'the last copy of the live database failed its check',
};

/** Codes of a failed backup run that hold everything back. */
export const holdingCodes = errorCodes.filter((code) => says(code, 'keeps-backups'));

/** @param judgement the newest backup run that succeeded or failed with one of the codes above. */
export function pruneHold(judgement: Run | null): string | null {
  const code = judgement?.error?.code;
  if (code === undefined || !says(code, 'keeps-backups')) return null;
  return `held: ${words[code] ?? 'the last backup failed'} (${code}), nothing is removed until a backup succeeds`;
}
