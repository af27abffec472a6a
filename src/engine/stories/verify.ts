/** Judges one file, and compares it with the digest of its manifest. */
import { BackupError } from '../../words/errors.ts';
import type { StoryContext } from '../../words/story.ts';
import type { Remarks } from '../sqlite/rules.ts';
import { verifyFile } from '../sqlite/verify.ts';
import { sqliteVersion } from './backup.ts';
import type { DatabaseFacts } from '../format/manifest.ts';

export interface VerifyRequest {
  readonly kind: 'verify';
  readonly path: string;
  readonly method: 'quick' | 'full';
  /** Digest that the file must have; null to learn it. */
  readonly sha256: string | null;
}

export interface FileFindings extends Remarks {
  readonly sizeBytes: number;
  readonly pageSize: number;
  readonly pages: number;
  readonly sha256: string;
  readonly facts: DatabaseFacts | null;
  readonly sqlite: string;
}

/** @throws BackupError VERIFY_FAILED and as `verifyFile` does. */
export async function verify(request: VerifyRequest, context: StoryContext): Promise<FileFindings> {
  context.onEvent({ type: 'step', name: 'verify' });
  const findings = await verifyFile(request.path, { method: request.method });
  if (request.sha256 !== null && findings.sha256 !== request.sha256) {
    throw new BackupError('VERIFY_FAILED', 'the file is not the one that its manifest describes: the digests differ', {
      hint: 'It was changed after it was made. Use another backup.',
    });
  }
  return { ...findings, sqlite: sqliteVersion() };
}
