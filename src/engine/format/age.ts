/**
 * Encryption in the age format (https://age-encryption.org/v1): keys and header by the library of its author, the payload by
 * the runtime's own cipher. A backup is encrypted to public keys; only who holds one of the private keys, which the server never sees, can open it.
 *
 * What the library takes: `age1…`, and the post-quantum and hardware forms `age1pq1…`, `age1tag1…`, `age1tagpq1…`.
 * Hardware keys are opened by the `age` program and its plugin, not by us.
 *
 * The library (about 100 ms and 20 MB) is loaded with the first key, so who encrypts nothing never pays for it; at
 * once, not awaited, because the settings are checked before anything starts. No key of any kind enters a message: a
 * private one may stand where a public one belongs.
 */
import { createRequire } from 'node:module';
import type * as Library from 'age-encryption';
import { BackupError } from '../../words/errors.ts';
import { CHUNK_BYTES, NONCE_BYTES, openPayload, sealPayload, TAG_BYTES } from './age-payload.ts';

/** A stream that has sent this much without ending its header is not an age file. */
const HEADER_BYTES_MAX = 1024 * 1024;
const LAST_LINE_BYTES_MAX = 100;
/** The largest form of a recipient in the header, the post-quantum one, is about 1,600. */
const HEADER_BYTES_PER_RECIPIENT = 2048;

type Bytes = AsyncIterable<Uint8Array>;

/** Some bundlers leave no address to `import.meta`. */
const here = String(import.meta.url ?? process.argv[1]);

let loaded: typeof Library | undefined;
function library(): typeof Library {
  try {
    loaded ??= createRequire(here)('age-encryption') as typeof Library; // its types say so
  } catch (cause) {
    throw leftBehind(cause);
  }
  return loaded;
}

/** No bundler follows the line above. The job's own bundle has the library in it, the app's has not. */
function leftBehind(cause: unknown): BackupError {
  const message =
    'the library age-encryption is missing; install it where the app runs, or mark velist-backup as external in its bundler';
  return new BackupError('UNSUPPORTED', message, { hint: 'Without it nothing can be encrypted.', cause });
}

/** @param recipients At least one, checked by `parseRecipients`. */
export async function* encrypt(source: Bytes, recipients: readonly string[]): Bytes {
  if (recipients.length === 0) throw unusableRecipient();
  const { header, fileKey } = await newHeader(recipients);
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  yield Buffer.concat([header, nonce]);
  yield* sealPayload(source, fileKey, nonce);
}

/** The library's own header; one more recipient, which writes nothing into it, learns the key that it is about. */
async function newHeader(recipients: readonly string[]): Promise<{ header: Uint8Array; fileKey: Uint8Array }> {
  const encrypter = new (library().Encrypter)();
  let fileKey = new Uint8Array();
  try {
    for (const recipient of recipients) encrypter.addRecipient(recipient);
    encrypter.addRecipient({
      wrapFileKey(key) {
        fileKey = new Uint8Array(key);
        return [];
      },
    });
    const whole = await encrypter.encrypt(new Uint8Array());
    return { header: whole.subarray(0, whole.length - NONCE_BYTES - TAG_BYTES), fileKey };
  } catch {
    throw unusableRecipient();
  }
}

/**
 * @param identities Private keys, from `parseIdentities`.
 * @throws BackupError BAD_REQUEST when none of the identities opens it, VERIFY_FAILED when it is damaged. An error of the
 * source passes through unchanged.
 */
export async function* decrypt(source: Bytes, identities: readonly string[]): Bytes {
  if (identities.length === 0) {
    throw new BackupError('BAD_REQUEST', 'the backup is encrypted, and no identity was given', {
      hint: 'Pass the file with the private key: --identity FILE. Without that key nobody can open this backup.',
    });
  }
  const decrypter = new (library().Decrypter)();
  for (const identity of identities) decrypter.addIdentity(identity);
  const pieces = source[Symbol.asyncIterator]();
  try {
    const { header, nonce, rest } = await readHeader(pieces);
    const fileKey = await decrypter.decryptHeader(header).catch((error: unknown) => {
      throw notOpened(error);
    });
    yield* openPayload(followedBy(rest, pieces), fileKey, nonce, damaged);
  } finally {
    await pieces.return?.();
  }
}

interface Beginning {
  readonly header: Uint8Array;
  readonly nonce: Uint8Array;
  /** What was read of the payload. */
  readonly rest: Uint8Array;
}

/** A header is text; its last line is `---`, a blank and the code of the header. */
async function readHeader(pieces: AsyncIterator<Uint8Array>): Promise<Beginning> {
  let held = Buffer.alloc(CHUNK_BYTES);
  let used = 0;
  let searched = 0;
  while (used <= HEADER_BYTES_MAX) {
    const next = await pieces.next();
    if (next.done) break;
    const size = used + next.value.length;
    if (size > held.length) held = Buffer.concat([held.subarray(0, used)], Math.max(size, 2 * held.length));
    held.set(next.value, used);
    used = size;
    const read = held.subarray(0, used);
    const lastLine = read.indexOf('\n--- ', searched);
    if (lastLine < 0) {
      searched = Math.max(0, used - 4);
      continue;
    }
    searched = lastLine;
    const end = read.subarray(0, lastLine + LAST_LINE_BYTES_MAX).indexOf('\n', lastLine + 1);
    if (end < 0 && used >= lastLine + LAST_LINE_BYTES_MAX) break;
    const payload = end + 1 + NONCE_BYTES;
    if (end > 0 && used >= payload)
      return {
        header: read.subarray(0, end + 1),
        nonce: read.subarray(end + 1, payload),
        rest: read.subarray(payload),
      };
  }
  throw damaged(new Error('the header does not end'));
}

async function* followedBy(first: Uint8Array, rest: AsyncIterator<Uint8Array>): Bytes {
  yield first;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

function notOpened(error: unknown): BackupError {
  if (!(error instanceof Error) || !error.message.startsWith('no identity matched')) return damaged(error);
  return new BackupError('BAD_REQUEST', 'the identity does not open this backup: it is encrypted to other keys', {
    hint: 'Pass the private key of one of its recipients: --identity FILE. age-keygen -y FILE prints the public key of an identity.',
  });
}

/** An upper bound for the size of that many bytes when encrypted. */
export function encryptedBytesMax(sizeBytes: number, recipients: number): number {
  const chunks = Math.ceil(sizeBytes / CHUNK_BYTES) + 1;
  return sizeBytes + chunks * TAG_BYTES + recipients * HEADER_BYTES_PER_RECIPIENT + 1024;
}

/**
 * The public keys in a text, separated by commas or blanks, each once.
 *
 * @throws BackupError BAD_CONFIG that says which entry is wrong, without printing a private key.
 */
export function parseRecipients(text: string): readonly string[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  const encrypter = new (library().Encrypter)();
  for (const [index, entry] of entries.entries()) {
    const which = entries.length === 1 ? 'it' : `entry ${index + 1} of ${entries.length}`;
    if (/secret-key|age-plugin/i.test(entry)) {
      throw badRecipient(
        `${which} is a private key; it must never be on this server. Set the public key, age1…, which age-keygen -y prints`,
      );
    }
    try {
      encrypter.addRecipient(entry);
    } catch {
      // A public key may be shown; anything else may be a secret.
      const shown = entry.startsWith('age1') ? ` (${entry.slice(0, 12)}…)` : '';
      throw badRecipient(`${which}${shown} is not an age public key, such as age1… from age-keygen`);
    }
  }
  if (entries.length === 0) throw badRecipient('it names no age public key, such as age1… from age-keygen');
  const postQuantum = entries.filter((entry) => /^age1(pq|tagpq)1/.test(entry));
  if (postQuantum.length > 0 && postQuantum.length < entries.length) {
    throw badRecipient('post-quantum keys cannot be mixed with others: the weakest would decide');
  }
  return [...new Set(entries)];
}

/**
 * The private keys in the text of an identity file, as `age-keygen` writes it: one a line, `#` begins a comment.
 *
 * @throws BackupError BAD_REQUEST, which never prints what it read.
 */
export function parseIdentities(text: string): readonly string[] {
  if (/^(age-encryption\.org\/|-----BEGIN AGE )/.test(text)) {
    throw badIdentity('is itself encrypted', 'Decrypt it with the age program first: age -d FILE > identity.txt');
  }
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const decrypter = new (library().Decrypter)();
  for (const line of lines) {
    if (line.startsWith('age1')) {
      throw badIdentity('holds a public key', 'The private key is needed; it begins with AGE-SECRET-KEY-.');
    }
    if (/^AGE-PLUGIN-|^-----BEGIN|^ssh-/.test(line)) {
      throw badIdentity(
        'holds a key that only the age program can use',
        'Decrypt the downloaded backup with age -d -i FILE, then restore from the result.',
      );
    }
    try {
      decrypter.addIdentity(line);
    } catch {
      throw badIdentity(
        'has a line that is not an age private key',
        'Use the file that age-keygen wrote; a character may be missing.',
      );
    }
  }
  if (lines.length === 0) throw badIdentity('is empty', 'Use the file that age-keygen wrote.');
  return lines;
}

function damaged(cause: unknown): BackupError {
  return new BackupError('VERIFY_FAILED', 'the encrypted backup is damaged', {
    hint: 'It was changed or cut short after it was stored; use another backup.',
    cause,
  });
}

/** Without its cause: the library's texts may repeat what it was given. */
function unusableRecipient(): BackupError {
  return new BackupError('BAD_CONFIG', 'nothing can be encrypted to these recipients', {
    hint: 'Set BACKUP_ENCRYPTION_RECIPIENT to public keys that age-keygen printed.',
  });
}

function badRecipient(message: string): BackupError {
  return new BackupError('BAD_CONFIG', message, { hint: 'Correct BACKUP_ENCRYPTION_RECIPIENT.' });
}

function badIdentity(what: string, hint: string): BackupError {
  return new BackupError('BAD_REQUEST', `the identity file ${what}`, { hint });
}
