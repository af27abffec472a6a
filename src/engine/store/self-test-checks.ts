/**
 * The checks of a self-test that every store must pass, and the one for a folder. Each is a sentence about the target
 * that turns out true, weaker than wished, or false.
 */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import type { Finding, Judgement } from '../../words/story.ts';
import type { PolicyDocument } from './s3/policy.ts';
import { getBytes, type ObjectStore } from './store.ts';

/** A target as a self-test takes it. */
export interface TestedTarget {
  readonly store: ObjectStore;
  readonly checks: readonly Check[];
  /** Come before the others where the target is about to be set up: is it there, and are we let in? */
  readonly contact: readonly Check[];
  /** The rights that the key needs and no more; null if there is no key. */
  readonly policy: PolicyDocument | null;
  /** Nobody may remove them; a rule of the bucket will. */
  readonly leavesTraces?: boolean;
  /** Whether an error that the code does not tell is one that every further request would meet. */
  readonly isHopeless?: (error: BackupError) => boolean;
  close(): void;
}

export type { Finding } from '../../words/story.ts';

export interface Check {
  readonly name: Finding['check'];
  /** Begins the sentence when `run` throws: `objects cannot be listed`. */
  readonly cannot: string;
  /** Left out when no object could be written. */
  readonly needsObject?: boolean;
  run(trial: Trial): Promise<Judgement>;
}

/** What the checks of one self-test share. */
export interface Trial {
  readonly store: ObjectStore;
  /** The object that `writes` stores, and what is in it. */
  readonly object: string;
  readonly content: Buffer;
  /** Another key of this test alone. */
  key(suffix: string): string;
  /** Keys to remove at the end, whether they exist or not. */
  readonly traces: Set<string>;
  readonly now: () => Date;
  readonly signal: AbortSignal | undefined;
  /** Something of it may be there, also when the store says that it is not kept as asked for. */
  tried: boolean;
  /** Our time around the write; null as long as none succeeded. */
  written: { readonly fromMs: number; readonly toMs: number } | null;
}

export const ok = (message: string, hint: string | null = null): Judgement => ({ result: 'ok', message, hint });
export const warning = (message: string, hint: string): Judgement => ({ result: 'warning', message, hint });
export const failed = (message: string, hint: string): Judgement => ({ result: 'failed', message, hint });

/** What the keys of all self-tests begin with; no backup's name does. */
export const namesBegin = 'self-test-';
/** A test that old was killed. */
const leftoverAgeMs = 3_600_000;
const largestReadBytes = 64 * 1024;

export const writes: Check = {
  name: 'write',
  cannot: 'nothing can be written',
  async run(trial) {
    const { store, object, content, now, signal } = trial;
    const fromMs = now().getTime();
    trial.tried = true;
    // As backups are stored: a policy may refuse what could replace something.
    await store.put(object, once(content), { sizeBytes: content.length, signal, ifAbsent: true });
    trial.written = { fromMs, toMs: now().getTime() };
    return ok('a test object was written');
  },
};

/** Retention looks that what it deleted is gone, so a missing object must be known as missing too. */
export const looksUp: Check = {
  name: 'head',
  cannot: 'objects cannot be looked up',
  needsObject: true,
  async run({ store, object, content, key, signal }) {
    const head = await store.head(object, { signal });
    if (head?.sizeBytes !== content.length) {
      return failed(
        `the test object has ${head?.sizeBytes ?? 'no'} bytes although ${content.length} were written`,
        'This server does not show new objects at once; backups cannot be confirmed there.',
      );
    }
    const missing = await isThere(key('missing'), { store, signal });
    if (missing === false) return ok('its size can be read, and a missing object is reported as missing');
    if (missing === 'denied') {
      return failed(
        'the key may not know whether an object is missing (403 instead of 404)',
        'Allow it ListBucket on the bucket; if that has a condition on s3:prefix, this server needs it without the condition.',
      );
    }
    return failed(
      'an object that was never written is there',
      'Something other than a storage server seems to answer.',
    );
  },
};

async function isThere(key: string, { store, signal }: Pick<Trial, 'store' | 'signal'>): Promise<boolean | 'denied'> {
  try {
    return (await store.head(key, { signal })) !== null;
  } catch (thrown) {
    const error = BackupError.from(thrown);
    if (error.code === 'S3_DENIED') return 'denied';
    throw error;
  }
}

export const reads: Check = {
  name: 'read',
  cannot: 'objects cannot be read',
  needsObject: true,
  async run({ store, object, content, signal }) {
    const [from, to] = [5, 24];
    const whole = await getBytes(store, object, { limitBytes: largestReadBytes, signal });
    const part = await getBytes(store, object, { from, to, limitBytes: largestReadBytes, signal });
    if (content.equals(whole) && content.subarray(from, to + 1).equals(part))
      return ok('it was read back, whole and in part');
    return failed(
      'the test object came back with different bytes from those written',
      'Something on the way changes what passes through it; nothing stored there can be trusted.',
    );
  },
};

export const lists: Check = {
  name: 'list',
  cannot: 'objects cannot be listed',
  async run({ store, object, traces, now, written, signal }) {
    let found = false;
    for await (const { key, modifiedAt } of store.list(namesBegin, { signal })) {
      if (key === object) found = true;
      else if (now().getTime() - modifiedAt.getTime() > leftoverAgeMs) traces.add(key);
    }
    if (found || written === null) return ok('objects can be listed');
    return failed(
      'the test object is missing from the listing',
      'This server lists objects late or incompletely; backups there would seem to be lost.',
    );
  },
};

export function isPrivateFolder(folder: string): Check {
  return {
    name: 'private',
    cannot: 'who may read the folder cannot be determined',
    needsObject: true,
    async run({ object }) {
      const [above, file] = await Promise.all([stat(folder), stat(join(folder, object))]);
      // A user who may not enter the folder reads no file in it.
      const isClosed = (above.mode & 0o077) === 0 || (file.mode & 0o077) === 0;
      if (isClosed) return ok('other users of this machine cannot read the backups');
      return warning(
        'other users of this machine can read the backups',
        'Run `chmod 700` on the backup folder; on a file system that keeps no modes, set them by its mount options.',
      );
    },
  };
}

const SPEED_BYTES = 2 * 1024 * 1024;

export const isFast: Check = {
  name: 'speed',
  cannot: 'a larger object cannot be written',
  needsObject: true,
  async run({ store, key, signal }) {
    const bytes = randomBytes(SPEED_BYTES);
    const fromMs = performance.now();
    await store.put(key('speed'), once(bytes), { sizeBytes: bytes.length, signal, ifAbsent: true });
    const seconds = Math.max(1, performance.now() - fromMs) / 1_000;
    return ok(`it takes ${(SPEED_BYTES / 1e6 / seconds).toFixed(1)} MB a second`);
  },
};

export const deletes: Check = {
  name: 'delete',
  cannot: 'objects cannot be deleted',
  needsObject: true,
  async run({ store, object, traces, signal }) {
    const rest = [...traces].filter((key) => key !== object);
    const refused = await store.delete(object, { signal }).then(
      async () => (await store.deleteMany(rest, { signal }))[0]?.error,
      (error: unknown) => BackupError.from(error),
    );
    if (refused && refused.code !== 'S3_DENIED') throw refused;
    if (refused) {
      return failed(
        `objects cannot be deleted: ${refused.message}`,
        `${refused.hint} If the key is meant to lack that right, set BACKUP_S3_RETENTION=bucket: then the rules of the bucket remove what is old.`,
      );
    }
    for (const key of traces) {
      const there = await isThere(key, { store, signal });
      // The key may not know; that is told by another check.
      if (there !== true) continue;
      return failed(
        `the test object ${key} is still there after it was deleted`,
        `${store.words.undeleted} Retention would free nothing.`,
      );
    }
    traces.clear();
    return ok('all test objects were deleted');
  },
};

export async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
