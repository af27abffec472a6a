/**
 * Judges one SQLite file that nobody writes to: does it open, is its structure sound, is it as long as its pages say? The
 * digest is computed on another core meanwhile, so it costs no time of its own.
 */
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { accountForPages } from './account.ts';
import { digestInBackground } from './digest.ts';
import { type DatabaseFacts, readFacts } from './facts.ts';
import { type Judged, judge, type Judgement, type PageSizes, type VerifyMethod } from './judge.ts';
import { isBeyondFile, isDamage, openElsewhere, pragma } from './library.ts';
import { PageFile, pagesOf } from './pages.ts';
import { gaveUp } from './gave-up.ts';
import { firstRemarks } from './rules.ts';
import type { PinnedSnapshot, Snapshot } from './snapshot.ts';
import { HEAD_BYTES, otherForm } from './other-form.ts';
import { sideFiles } from './stamp.ts';
import { bytesToCheck, withinLimits } from './watch.ts';

/** What a good file was found to be. */
interface Findings extends PageSizes, Omit<Judgement, 'structure'> {
  readonly sizeBytes: number;
  readonly sha256: string;
}

declare const judged: unique symbol;

/** A snapshot that passed. Only `verifySnapshot` makes one, so nothing unverified can be stored. */
export interface VerifiedSnapshot extends Findings {
  readonly [judged]: true;
  readonly path: string;
  readonly method: VerifyMethod;
  readonly verifiedAt: Date;
}

/** @throws BackupError as `verifyFile` does. */
export async function verifySnapshot(
  snapshot: Snapshot & Pick<PinnedSnapshot, 'sha256'>,
  options: { method: VerifyMethod; now: () => Date },
): Promise<VerifiedSnapshot> {
  const findings = await verifyFile(snapshot.path, { ...options, sha256: snapshot.sha256 });
  return { ...findings, path: snapshot.path, method: options.method, verifiedAt: options.now() } as VerifiedSnapshot; // the brand
}

/**
 * @throws BackupError VERIFY_FAILED when the file is not a whole, sound database; NOT_CHECKED when it could not be read, so
 * that nothing is known of it.
 */
export async function verifyFile(
  path: string,
  options: { method: VerifyMethod; sha256?: Promise<string> | undefined },
): Promise<Findings> {
  const sizeBytes = statSync(path).size;
  const other = otherForm(readHead(path));
  if (sizeBytes === 0) throw failed('the file is empty');
  if (other) throw failed(`the file does not begin like a SQLite database: ${other.what}`, { hint: other.hint });
  const digest = options.sha256 ?? digestInBackground(path);
  // When the check below throws first, nobody is left to hear the digest fail.
  digest.catch(() => {});
  const { structure, ...judged } = judgeFile(path, options.method);
  if (structure.length > 0 || judged.pages === undefined || judged.pageSize === undefined)
    throw failed(structure.join('; '));
  const { pages, pageSize } = judged;
  // Longer is no harm: an app that sets aside room in chunks has such files.
  if (pageSize * pages > sizeBytes)
    throw failed(`${pages} pages of ${pageSize} bytes were expected, but the file has ${sizeBytes} bytes`);
  return { ...judged, ...firstRemarks(judged), pages, pageSize, sizeBytes, sha256: await digest };
}

/** What a file holds that was found good before; null if it can't be counted. */
export function countFile(path: string): DatabaseFacts | null {
  const descriptor = openSync(path, 'r');
  try {
    return askFile(path, (file) => {
      const pages = new PageFile(pagesOf(descriptor, sizesOf(file)));
      const account = accountForPages(file, pages);
      return account && readFacts(file, account, pages);
    });
  } catch {
    return null;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Queries a file that nobody writes to, within limits that depend on its size, because a query may run expressions
 * stored in it.
 * @param options.isClocked false if the caller has a clock of its own.
 */
export function askFile<Result>(
  path: string,
  ask: (file: DatabaseSync) => Result,
  options: { readonly isClocked?: boolean } = {},
): Result {
  const file = openUnwritten(path);
  try {
    return withinLimits(bytesToCheck(path), () => ask(file), options);
  } finally {
    file.close();
  }
}

/** As much of a file as SQLite maps at most, unless it was built for more. */
const MAPPED_BYTES_MAX = 2 ** 31 - 64 * 1024;

/**
 * Opens a file that nobody writes to: no lock is taken, and nothing appears beside a file in WAL mode. Its pages are
 * mapped, not read one by one, which makes `quick_check` three times as fast.
 */
export function openUnwritten(path: string): DatabaseSync {
  return mapped(openElsewhere(path, 'mode=ro&immutable=1', { readOnly: true }));
}

function mapped(file: DatabaseSync): DatabaseSync {
  file.exec(`PRAGMA mmap_size = ${MAPPED_BYTES_MAX}; PRAGMA query_only = ON`);
  return file;
}

/**
 * SQLite passes over the CHECK constraints of a file that it can only read, so it is opened for writing where that changes
 * nothing: the file is in no WAL mode, and no journal lies beside it.
 */
function openToJudge(path: string): { readonly file: DatabaseSync; readonly seesChecks: boolean } {
  if (!mayOpenToWrite(path)) return { file: openUnwritten(path), seesChecks: false };
  return { file: mapped(openElsewhere(path, 'mode=rw&nolock=1')), seesChecks: true };
}

function mayOpenToWrite(path: string): boolean {
  if (sideFiles.some((suffix) => existsSync(path + suffix))) return false;
  try {
    accessSync(path, constants.W_OK);
  } catch {
    return false;
  }
  const [writeVersion, readVersion] = readHead(path).subarray(WRITE_VERSION_AT);
  return writeVersion === ROLLBACK && readVersion === ROLLBACK;
}

/** https://sqlite.org/fileformat2.html#file_format_version_numbers */
const WRITE_VERSION_AT = 18;
const ROLLBACK = 1;

/** @throws BackupError VERIFY_FAILED, NOT_CHECKED as `verifyFile` does, which takes the digest too. */
export function judgeFile(path: string, method: VerifyMethod): Judged {
  const descriptor = openSync(path, 'r');
  let file: DatabaseSync | undefined;
  try {
    const opened = openToJudge(path);
    ({ file } = opened);
    const openPages = (sizes: PageSizes) => pagesOf(descriptor, sizes);
    const options = { method, openPages, seesChecks: opened.seesChecks };
    return withinLimits(bytesToCheck(path), () => judge(opened.file, options));
  } catch (error) {
    if (isDamage(error)) throw failed(error instanceof Error ? error.message : String(error), { cause: error });
    if (file && isBeyondFile(file, error)) throw gaveUp('a value in it became longer than the whole file', error);
    throw new BackupError('NOT_CHECKED', `the file could not be checked: ${BackupError.from(error).message}`, {
      hint: 'That says nothing about the file. Make sure that its disk responds and that the machine has memory left, then check again.',
      cause: error,
    });
  } finally {
    file?.close();
    closeSync(descriptor);
  }
}

function sizesOf(file: DatabaseSync): PageSizes {
  return { pageSize: Number(pragma(file, 'page_size')), pages: Number(pragma(file, 'page_count')) };
}

function readHead(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    readSync(file, head, 0, HEAD_BYTES, 0);
    return head;
  } finally {
    closeSync(file);
  }
}

const HINT = 'Use another backup. If new backups fail too, check the disk.';

function failed(detail: string, { hint = HINT, cause }: { readonly hint?: string; readonly cause?: unknown } = {}) {
  return new BackupError('VERIFY_FAILED', `the integrity check failed: ${detail}`, { hint, cause });
}
