/**
 * What may be a key: segments separated by single slashes, `backups/2024/a b.sqlite`. The rule is what every store can
 * keep literally: a folder needs segments that are file names and cannot climb out of the root, S3 needs text that its
 * XML listings can carry. A key that breaks it is refused with BAD_NAME before anything is touched, never repaired.
 */
import { BackupError } from '../../words/errors.ts';

/** The limit of S3. */
const longestKeyBytes = 1024;
/** The limit of ext4, XFS, APFS and NTFS for a file name. */
const longestSegmentBytes = 255;
/** Names of unfinished files of the local store, see there; as keys they would be invisible. */
const reserved = /^\.velist-[0-9a-f-]+\.part$/;
// Backslash is a separator on Windows; control characters cannot stand in the XML of a listing.
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are the characters that are refused
const forbidden = /[\\\u0000-\u001f\u007f\ufffe\uffff]/;

/** Throws BAD_NAME unless the text can be a key. */
export function checkKey(key: string): void {
  const fault = keyFault(key);
  if (fault === null) return;
  throw new BackupError('BAD_NAME', `"${key.slice(0, 80).replace(/[^ -~]/g, '?')}" cannot be a key: ${fault}`, {
    hint: 'Use names separated by single slashes, without "..", backslashes or control characters.',
  });
}

/** A name under which a folder holds what is being written. */
export function isUnfinished(name: string): boolean {
  return reserved.test(name);
}

export function isKey(text: string): boolean {
  return keyFault(text) === null;
}

function keyFault(key: string): string | null {
  if (key === '') return 'it is empty';
  if (Buffer.byteLength(key) > longestKeyBytes) return `it is longer than ${longestKeyBytes} bytes`;
  if (!key.isWellFormed() || forbidden.test(key)) return 'it has a character that is not allowed';
  for (const segment of key.split('/')) {
    if (segment === '') return 'it has an empty part';
    if (segment === '.' || segment === '..') return 'it has a part that leads elsewhere';
    if (reserved.test(segment)) return 'that name is reserved for unfinished files';
    if (Buffer.byteLength(segment) > longestSegmentBytes) return `a part is longer than ${longestSegmentBytes} bytes`;
  }
  return null;
}

/** The order of listings: by the bytes of UTF-8, which differs from that of JavaScript beyond U+FFFF. */
export function compareKeys(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/** A key as part of an address: everything but slashes escaped. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/');
}
