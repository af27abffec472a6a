/**
 * What becomes of a backup's bytes on their way to a target and back: compressed with zstd, encrypted in the age format
 * (https://age-encryption.org/v1), in this order, as one stream in bounded memory. Stock `zstd` and `age` open what is
 * stored: `age -d -i key.txt backup-….sqlite.zst.age | zstd -d > backup.sqlite`.
 *
 * The database's own digest, in the manifest, is what proves the way there and back; the artifact's digest proves what
 * is stored without a key.
 */
import { decrypt, encrypt, encryptedBytesMax } from './age.ts';
import { artifactFile } from './names.ts';
import type { Manifest } from './manifest.ts';
import { BackupError } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { compress, compressedBytesMax, decompress } from './zstd.ts';

export interface Sealing {
  readonly compression: 'none' | 'zstd';
  /** Public keys in age's form, `age1…`; each of them can open the artifact. Empty: not encrypted. */
  readonly recipients: readonly string[];
}

export const PLAIN: Sealing = { compression: 'none', recipients: [] };

/** How an artifact is sealed, as the manifest says it. */
export type Seal = Pick<Manifest['artifact'], 'compression' | 'encryption'>;

export type SealName = 'plain' | 'zstd' | 'age' | 'zstd+age';

export function sealOf({ compression, recipients }: Sealing): Seal {
  return { compression, encryption: recipients.length > 0 ? 'age' : 'none' };
}

export function sealName({ compression, encryption }: Seal): SealName {
  if (encryption === 'none') return compression === 'none' ? 'plain' : compression;
  return compression === 'none' ? encryption : `${compression}+${encryption}`;
}

/** `backup-….sqlite`, with `.zst` and `.age` appended where it is sealed. */
export function artifactName(name: string, sealing: Sealing): string {
  return artifactFile(name, sealOf(sealing));
}

/** An error of the source passes through unchanged; whoever leaves early ends the source too. */
export function seal(source: AsyncIterable<Uint8Array>, sealing: Sealing): AsyncIterable<Uint8Array> {
  const compressed = sealing.compression === 'zstd' ? compress(source) : source;
  return sealing.recipients.length > 0 ? encrypt(compressed, sealing.recipients) : compressed;
}

/**
 * @param identities Private keys in age's form, from `parseIdentities`; needed for an encrypted artifact only.
 * @throws BackupError BAD_REQUEST when an identity is missing or opens nothing, VERIFY_FAILED when the artifact is
 * damaged. An error of the source passes through unchanged.
 */
export function unseal(
  source: AsyncIterable<Uint8Array>,
  { compression, encryption }: Seal,
  identities: readonly string[],
): AsyncIterable<Uint8Array> {
  const decrypted = encryption === 'age' ? decrypt(source, identities) : source;
  return compression === 'zstd' ? decompress(decrypted) : decrypted;
}

/** An upper bound for the size of the artifact, known before the first byte: an upload chooses its parts by it. */
export function sealedBytesMax(sizeBytes: number, { compression, recipients }: Sealing): number {
  const compressed = compression === 'zstd' ? compressedBytesMax(sizeBytes) : sizeBytes;
  return recipients.length > 0 ? encryptedBytesMax(compressed, recipients.length) : compressed;
}

/** How many bytes `formOf` wants to see. */
export const FORM_BYTES = 32;

type ArtifactForm = 'sqlite' | 'zstd' | 'age' | 'unknown';

const firstBytes: readonly [ArtifactForm, Uint8Array][] = [
  ['sqlite', Buffer.from('SQLite format 3\0')],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['age', Buffer.from('age-encryption.org/v1\n-> ')],
];

/** What the first bytes of a file or object say that it is. */
export function formOf(bytes: Uint8Array): ArtifactForm {
  const begins = ([, start]: (typeof firstBytes)[number]) => start.every((byte, index) => bytes[index] === byte);
  return firstBytes.find(begins)?.[0] ?? 'unknown';
}

/** What the first bytes of an artifact must be. */
export function formOfSeal({ compression, encryption }: Seal): ArtifactForm {
  if (encryption === 'age') return 'age';
  return compression === 'zstd' ? 'zstd' : 'sqlite';
}

/** Is it stored without encryption? */
export function isPlain(manifest: { readonly artifact: Pick<Manifest['artifact'], 'encryption'> } | null): boolean {
  return manifest?.artifact.encryption === 'none';
}

/** A key of the bucket is enough to put such a one there, and whoever restores it runs on what its author wrote. */
export function plainCopy(name: string, target: TargetName): BackupError {
  return new BackupError(
    'PLAIN_COPY',
    `${name} on ${targetWord(target)} is not encrypted, although copies there should be`,
    {
      hint: 'It was stored before BACKUP_ENCRYPTION_RECIPIENT was set, or somebody else put it there. If you know that it is yours, use --allow-plain (HTTP and library: allowPlain); `velist-backup backup` makes an encrypted one.',
    },
  );
}
