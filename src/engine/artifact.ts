/**
 * What becomes of a backup's bytes on their way to a target and back: compressed with zstd, encrypted in the age format
 * (https://age-encryption.org/v1), in this order, as one stream. Stock `zstd` and `age` open what is stored.
 */
import type { Manifest } from './catalog/manifest.ts';

export interface Sealing {
  readonly compression: 'none' | 'zstd';
  /** Public keys in age's form, `age1…`; each of them can open the artifact. Empty: not encrypted. */
  readonly recipients: readonly string[];
}

export const PLAIN: Sealing = { compression: 'none', recipients: [] };

/** `backup-….sqlite`, with `.zst` and `.age` appended where it is sealed. */
export function artifactName(name: string, { compression, recipients }: Sealing): string {
  return `${name}${compression === 'zstd' ? '.zst' : ''}${recipients.length > 0 ? '.age' : ''}`;
}

export function seal(source: AsyncIterable<Uint8Array>, sealing: Sealing): AsyncIterable<Uint8Array> {
  if (sealing.compression !== 'none' || sealing.recipients.length > 0) throw new Error('not written yet');
  return source;
}

/** @param identities Private keys in age's form, `AGE-SECRET-KEY-1…`; needed for an encrypted artifact only. */
export function unseal(
  source: AsyncIterable<Uint8Array>,
  artifact: Pick<Manifest['artifact'], 'compression' | 'encryption'>,
  identities: readonly string[],
): AsyncIterable<Uint8Array> {
  if (artifact.compression !== 'none' || artifact.encryption !== 'none')
    throw new Error(`not written yet ${identities.length}`);
  return source;
}
