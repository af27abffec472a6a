/**
 * Encryption in the age format (https://age-encryption.org/v1), through the library of its author. A backup is
 * encrypted to public keys; only who holds one of the private keys, which the server never sees, can open it.
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

/** A stream that has brought so much without the end of its header is no age file; the library would keep all of it. */
const HEADER_BYTES_MAX = 1024 * 1024;
/** The largest form of a recipient in the header, the post-quantum one, is about 1,600. */
const HEADER_BYTES_PER_RECIPIENT = 2048;
const CHUNK_BYTES = 64 * 1024;
const CHUNK_TAG_BYTES = 16;

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
    'the library age-encryption is not here; install it where the app runs, or mark velist-backup as external in its bundler';
  return new BackupError('UNSUPPORTED', message, { hint: 'Without it nothing can be encrypted.', cause });
}

/** @param recipients At least one, checked by `parseRecipients`. */
export async function* encrypt(source: Bytes, recipients: readonly string[]): Bytes {
  if (recipients.length === 0) throw unusableRecipient();
  const encrypter = new (library().Encrypter)();
  try {
    for (const recipient of recipients) encrypter.addRecipient(recipient);
  } catch {
    throw unusableRecipient();
  }
  yield* through(source, { open: (stream) => encrypter.encrypt(stream), explain: () => unusableRecipient() });
}

/**
 * @param identities Private keys, from `parseIdentities`.
 * @throws BackupError BAD_REQUEST when none of the identities opens it, VERIFY_FAILED when it is damaged.
 */
export async function* decrypt(source: Bytes, identities: readonly string[]): Bytes {
  if (identities.length === 0) {
    throw new BackupError('BAD_REQUEST', 'the backup is encrypted, and no identity was given', {
      hint: 'Pass the file with the private key: --identity FILE. Without that key nobody can open this backup.',
    });
  }
  const decrypter = new (library().Decrypter)();
  for (const identity of identities) decrypter.addIdentity(identity);
  yield* through(source, {
    open: (stream) => decrypter.decrypt(stream),
    limitBytes: HEADER_BYTES_MAX,
    explain: (error) => {
      if (!(error instanceof Error) || !error.message.startsWith('no identity matched')) return damaged(error);
      return new BackupError('BAD_REQUEST', 'the identity does not open this backup: it is encrypted to other keys', {
        hint: 'Pass the private key of one of its recipients: --identity FILE. age-keygen -y FILE prints the public key of an identity.',
      });
    },
  });
}

/** A size that the encrypted form of so many bytes does not exceed. */
export function encryptedBytesMax(sizeBytes: number, recipients: number): number {
  const chunks = Math.ceil(sizeBytes / CHUNK_BYTES) + 1;
  return sizeBytes + chunks * CHUNK_TAG_BYTES + recipients * HEADER_BYTES_PER_RECIPIENT + 1024;
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
      // A public key may be shown; of what is none we do not know what it is.
      const shown = entry.startsWith('age1') ? ` (${entry.slice(0, 12)}…)` : '';
      throw badRecipient(`${which}${shown} is not a public key of age, such as age1… from age-keygen`);
    }
  }
  if (entries.length === 0) throw badRecipient('it names no public key of age, such as age1… from age-keygen');
  const postQuantum = entries.filter((entry) => /^age1(pq|tagpq)1/.test(entry));
  if (postQuantum.length > 0 && postQuantum.length < entries.length) {
    throw badRecipient('post-quantum keys and others can not be mixed: the weakest would decide');
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
        'holds a line that is no private key of age',
        'Take the file that age-keygen wrote; a letter may be missing.',
      );
    }
  }
  if (lines.length === 0) throw badIdentity('is empty', 'Take the file that age-keygen wrote.');
  return lines;
}

interface Passage {
  readonly open: (stream: ReadableStream<Uint8Array>) => Promise<ReadableStream<Uint8Array>>;
  /** What a failure that is not the source's own means. */
  readonly explain: (error: unknown) => BackupError;
  /** How much may be read before `open` resolves. */
  readonly limitBytes?: number;
}

async function* through(source: Bytes, { open, explain, limitBytes = Number.POSITIVE_INFINITY }: Passage): Bytes {
  let sourceFault: { readonly error: unknown } | undefined;
  const pieces = inPieces(source, (error) => (sourceFault = { error }));
  let isOpen = false;
  let pulledBytes = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!isOpen && pulledBytes > limitBytes) throw new Error('the header does not end');
        const { done, value } = await pieces.next();
        if (done) return controller.close();
        pulledBytes += value.length;
        controller.enqueue(value);
      },
    },
    { highWaterMark: 0 },
  );
  let opened: ReadableStreamDefaultReader<Uint8Array> | undefined;
  try {
    opened = (await open(stream)).getReader();
    isOpen = true;
    for (;;) {
      const { done, value } = await opened.read();
      if (done) return;
      if (value.length > 0) yield value;
    }
  } catch (error) {
    throw sourceFault ? sourceFault.error : explain(error);
  } finally {
    // Not by way of the streams, which do not wait for the source to let go of what it holds.
    await pieces.return();
    await opened?.cancel().catch(() => {});
  }
}

/** Copies, no larger than what the library works on: it holds on to several, and the source may use its memory again. */
async function* inPieces(source: Bytes, note: (error: unknown) => void): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of source)
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES) yield new Uint8Array(chunk.subarray(at, at + CHUNK_BYTES));
  } catch (error) {
    note(error);
    throw error;
  }
}

function damaged(cause: unknown): BackupError {
  return new BackupError('VERIFY_FAILED', 'the encrypted backup is damaged', {
    hint: 'It was changed or cut after it was stored; use another backup.',
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
