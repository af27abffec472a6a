/** A copy that came from a target must open to the database that its manifest describes. */
import type { Hash } from 'node:crypto';
import type { Manifest } from '../format/manifest.ts';
import { verifyFile } from '../sqlite/verify.ts';
import { BackupError } from '../../words/errors.ts';
import { targetWord } from '../../words/target-word.ts';

export function checkDigest(
  { name, database }: Manifest,
  found: { readonly sizeBytes: number; readonly hash: Hash },
  target: string,
): void {
  if (found.sizeBytes === database.sizeBytes && found.hash.digest('hex') === database.sha256) return;
  throw isAnother(name, target, 'does not open to the database');
}

export async function checkDatabase({ name, database }: Manifest, path: string, target: string): Promise<void> {
  const { sha256 } = await verifyFile(path, { method: 'quick' });
  if (sha256 === database.sha256) return;
  throw isAnother(name, target, 'is not the database');
}

function isAnother(name: string, target: string, how: string): BackupError {
  return new BackupError('VERIFY_FAILED', `${name} on ${targetWord(target)} ${how} that its manifest describes`, {
    hint: 'It was changed after it was made. Nothing was restored; use another backup.',
  });
}
