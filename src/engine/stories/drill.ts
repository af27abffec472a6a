/**
 * The story of one drill: the newest backup of a target is brought back as if the disk were lost, to a hidden place
 * beside the backups, judged, and removed again. Runs in a job of its own, and touches neither the live database nor any
 * backup.
 *
 * Where a copy is encrypted and no private key is here, the drill proves what can be proven without one: the digest of
 * all its bytes, and that they begin like an encrypted file. Then it says that the content was not opened.
 */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FORM_BYTES, formOf, formOfSeal } from '../format/seal.ts';
import { checkAssertions, readAssertions } from './assertions.ts';
import { DRILL_FOLDER, DRILL_LOCK_FILE } from '../format/names.ts';
import { freeBytes, inMegabytes } from '../disk/folder-error.ts';
import type { Manifest } from '../format/manifest.ts';
import { readRemoteManifest } from '../catalog/store-catalog.ts';
import { removeGently } from '../disk/remove-gently.ts';
import { BackupError } from '../../words/errors.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { fetchBackup } from './fetch.ts';
import { takeLock } from '../disk/lock.ts';
import { NO_REMARKS, type Remarks } from '../sqlite/rules.ts';
import { verifyFile } from '../sqlite/verify.ts';
import { openTarget, type TargetAccess } from '../store/kinds.ts';
import type { ObjectStore } from '../store/store.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

export interface DrillRequest {
  readonly kind: 'drill';
  readonly name: string;
  readonly from:
    | { readonly target: 'local'; readonly path: string; readonly sizeBytes: number; readonly sha256: string }
    | {
        readonly target: string;
        readonly prefix: string;
        readonly access: TargetAccess;
        /** Size of the plain database, as the listing tells. */
        readonly sizeBytes: number;
        /** Private keys; without one a sealed artifact is proven as far as that goes. */
        readonly identities: readonly string[];
        readonly refusePlain?: boolean;
      };
  /** Hidden folder beside the backups for what is restored; must not exist, and is removed at the end. */
  readonly staging: string;
  /** SQL statements that must hold on what was restored; null for none. */
  readonly assertions: string | null;
  readonly lockWaitMs: number;
}

export interface Drilled extends Remarks {
  /** `sealed`: digest and first bytes are right, and there was no key to open the content. */
  readonly proof: 'restored' | 'sealed';
  readonly sizeBytes: number;
  /** How many statements of the owner held. */
  readonly assertions: number;
}

/** Kept free beyond what is needed, so that a drill never takes the last byte from the app. */
const DISK_RESERVE_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** Between two flushes: a burst of dirty pages makes the app's own fsync wait. */
const PACE_BYTES = 8 * 1024 * 1024;

/**
 * @throws BackupError VERIFY_FAILED when the backup is not what its manifest says, or not sound; DRILL_FAILED when an
 * assertion does not hold; NO_BACKUP, BAD_BACKUP, PLAIN_COPY, BAD_REQUEST for a wrong private key, DISK_FULL, BUSY, S3_*, ABORTED.
 */
export async function drill(request: DrillRequest, context: StoryContext): Promise<Drilled> {
  const { from } = request;
  return await rehearse(
    { ...request, sizeBytes: from.sizeBytes },
    context,
    async (to) => await bringBack(request, to, context),
    async () =>
      'access' in from && from.identities.length === 0 ? await proveSealed(request.name, from, context) : null,
  );
}

interface Rehearsed extends Pick<DrillRequest, 'name' | 'staging' | 'assertions' | 'lockWaitMs'> {
  readonly sizeBytes: number;
}

/**
 * One at a time in a folder.
 *
 * @param restore answers the digest that the restored file must have; null if its content was proven as it was built.
 * @param instead what can be said without restoring; null where it must be restored.
 */
export async function rehearse(
  { name, staging, assertions: given, lockWaitMs, sizeBytes }: Rehearsed,
  context: StoryContext,
  restore: (to: string) => Promise<string | null>,
  instead: () => Promise<Drilled | null> = async () => null,
): Promise<Drilled> {
  // Before the first byte: a file that is not there costs no download.
  const assertions = given === null ? null : readAssertions(given);
  const folder = dirname(staging);
  makePrivateFolder(folder);
  const lock = { waitMs: lockWaitMs, signal: context.signal, warn: warnIn(context) };
  using _lock = await takeLock(join(folder, DRILL_LOCK_FILE), lock);
  const said = await instead();
  if (said) return said;
  removeLeftovers(folder, context);
  mkdirSync(staging, { mode: 0o700 });
  chmodSync(staging, 0o700);
  giveToOwnerOfFolder(staging);
  const restored = join(staging, name);
  try {
    checkRoom(staging, sizeBytes);
    const sha256 = await restore(restored);
    context.signal.throwIfAborted();
    return await judge({ path: restored, sha256, assertions }, context);
  } finally {
    if (existsSync(restored) && !context.signal.aborted) await removeGently(restored);
    rmSync(staging, { recursive: true, force: true });
  }
}

/** Removes what killed drills left. A leftover of another user is reported and in nobody's way. Needs the lock. */
function removeLeftovers(folder: string, context: StoryContext): void {
  for (const entry of readdirSync(folder)) {
    if (!entry.startsWith(DRILL_FOLDER)) continue;
    const left = join(folder, entry);
    try {
      rmSync(left, { recursive: true, force: true });
    } catch {
      warnIn(context)(`${left} was left by a drill that was killed, and this user may not remove it.`);
    }
  }
}

/** The digest that the restored file must have. */
async function bringBack(request: DrillRequest, to: string, context: StoryContext): Promise<string> {
  const { name, from, staging, lockWaitMs } = request;
  if ('access' in from) {
    const { target, prefix, access, identities, refusePlain } = from;
    const fetched = await fetchBackup(
      { kind: 'fetch', name, target, prefix, access, identities, refusePlain, staging, to, lockWaitMs },
      quietAfterFetch(context),
    );
    return fetched.manifest.database.sha256;
  }
  context.onEvent({ type: 'step', name: 'fetch' });
  await copy(from.path, to, context);
  return from.sha256;
}

async function copy(from: string, to: string, context: StoryContext): Promise<void> {
  await using source = await open(from, 'r');
  await using copied = await open(to, 'wx', 0o600);
  const total = (await source.stat()).size;
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let done = 0; ;) {
    context.signal.throwIfAborted();
    const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES, done);
    if (bytesRead === 0) return;
    for (let at = 0; at < bytesRead;) at += (await copied.write(chunk, at, bytesRead - at)).bytesWritten;
    done += bytesRead;
    if (done % PACE_BYTES === 0) await copied.datasync();
    context.onEvent({ type: 'bytes', done, total });
  }
}

/** The steps behind the download are one step of the drill. */
function quietAfterFetch(context: StoryContext): StoryContext {
  return {
    ...context,
    onEvent: (event) => {
      if (event.type !== 'step' || event.name === 'fetch') context.onEvent(event);
    },
  };
}

interface Restored {
  readonly path: string;
  /** Digest that it must have, if there is one. */
  readonly sha256: string | null;
  readonly assertions: string | null;
}

async function judge(restored: Restored, context: StoryContext): Promise<Drilled> {
  context.onEvent({ type: 'step', name: 'check' });
  const { sha256, sizeBytes, content, unchecked } = await verifyFile(restored.path, { method: 'full' });
  if (restored.sha256 !== null && sha256 !== restored.sha256) {
    throw new BackupError('VERIFY_FAILED', `${basename(restored.path)} is not the file that its manifest describes`, {
      hint: 'It was changed after it was made. Use another backup.',
    });
  }
  context.signal.throwIfAborted();
  context.onEvent({ type: 'step', name: 'prove' });
  const held = restored.assertions === null ? 0 : checkAssertions(restored.path, restored.assertions);
  return { proof: 'restored', sizeBytes, assertions: held, content, unchecked };
}

/** Null for a copy that can be opened without a key. */
async function proveSealed(
  name: string,
  { prefix, access }: Extract<DrillRequest['from'], { access: unknown }>,
  context: StoryContext,
): Promise<Drilled | null> {
  const store = openTarget(access, prefix);
  try {
    context.onEvent({ type: 'step', name: 'fetch' });
    const manifest = await readRemoteManifest(store, name, context);
    if (manifest.artifact.encryption === 'none') return null;
    await checkArtifact(store, manifest, context);
    return { proof: 'sealed', sizeBytes: manifest.artifact.sizeBytes, assertions: 0, ...NO_REMARKS };
  } finally {
    store.close();
  }
}

/** Nothing of it is written to this disk. */
async function checkArtifact(store: ObjectStore, { artifact }: Manifest, context: StoryContext): Promise<void> {
  const hash = createHash('sha256');
  const first: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of store.get(artifact.file, { signal: context.signal })) {
    if (sizeBytes < FORM_BYTES) first.push(chunk.slice(0, FORM_BYTES));
    hash.update(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > artifact.sizeBytes) break;
    context.onEvent({ type: 'bytes', done: sizeBytes, total: artifact.sizeBytes });
  }
  context.onEvent({ type: 'step', name: 'check' });
  if (sizeBytes !== artifact.sizeBytes || hash.digest('hex') !== artifact.sha256) {
    throw new BackupError('VERIFY_FAILED', `${artifact.file} in ${store.place} is not what was stored`, {
      hint: 'It was changed after it was stored; use another backup.',
    });
  }
  if (formOf(Buffer.concat(first)) !== formOfSeal(artifact)) {
    throw new BackupError('VERIFY_FAILED', `${artifact.file} in ${store.place} does not begin like an encrypted file`, {
      hint: 'Its manifest says that it is encrypted. Find out who wrote it, and use another backup.',
    });
  }
}

function checkRoom(folder: string, sizeBytes: number): void {
  // What is restored, and as much again for the next backup, which must not fail because of a rehearsal.
  const neededBytes = 2 * sizeBytes + DISK_RESERVE_BYTES;
  const free = freeBytes(folder);
  if (free >= neededBytes) return;
  throw new BackupError(
    'DISK_FULL',
    `the disk with the backups has no room for a drill: ${inMegabytes(neededBytes)} needed, ${inMegabytes(free)} free`,
    { hint: 'Free space on that disk, or lower the retention. Backups continue.' },
  );
}
