/**
 * Tries at a target everything that backups will ask of it, with small objects of its own, and says of each what was
 * found: ok, warning (backups work, something is weaker than it could be) or failed (backups would not be stored, not
 * come back, or not stay private).
 *
 * It removes its traces whatever fails, and those that a killed self-test left an hour ago or earlier. When no object
 * could be written, the checks that need one are left out; when the server cannot be spoken to at all, the first failure
 * is the only one, because every other would repeat it.
 */
import { randomUUID } from 'node:crypto';
import { BackupError } from '../errors.ts';
import { createLocalStore } from './local-store.ts';
import { aborted, type ObjectStore } from './object-store.ts';
import { connectS3, type S3Options } from './s3-connection.ts';
import { factsOf } from './s3-errors.ts';
import { leastPrivilegePolicy, type PolicyDocument } from './s3-policy.ts';
import { createS3Store } from './s3-store.ts';
import {
  type Check,
  deletes,
  type Finding,
  isPrivateFolder,
  lists,
  looksUp,
  namesBegin,
  reads,
  type Trial,
  writes,
} from './self-test-checks.ts';
import {
  createsOnly,
  deletesNothing,
  isPrivateBucket,
  keepsTime,
  keepsVersions,
  listsUploads,
  overwritesNothing,
  rulesAreAsSet,
  uploadsParts,
} from './self-test-s3.ts';

export type TargetToTest =
  { readonly name: 'local'; readonly folder: string } | { readonly name: string; readonly s3: S3Options };

export interface TargetReport {
  readonly target: TargetToTest['name'];
  /** How messages call the target: `bucket "my-backups" at s3.wasabisys.com`. */
  readonly place: string;
  /** False as soon as one check failed; warnings do not count. */
  readonly ok: boolean;
  readonly ms: number;
  readonly findings: readonly Finding[];
  /** The rights that the key needs and no more; null for a folder. */
  readonly policy: PolicyDocument | null;
}

export interface SelfTestContext {
  readonly now: () => Date;
  readonly signal?: AbortSignal;
}

/** For a person who waits: two tries instead of six, and no minute for a server that does not answer. */
const patience = { maxAttempts: 2, connectTimeoutMs: 8_000, requestTimeoutMs: 20_000 } as const;
const cleanupTimeoutMs = 15_000;

/** @throws BackupError ABORTED, and BAD_CONFIG when the settings name no target at all. */
export async function testTarget(target: TargetToTest, context: SelfTestContext): Promise<TargetReport> {
  const startedAt = context.now().getTime();
  const tested = 's3' in target ? bucketToTest(target.s3) : folderToTest(target.folder);
  const { store, policy, close } = tested;
  try {
    const findings = await carryOut(tested, context);
    return {
      target: target.name,
      place: store.place,
      ok: findings.every(({ result }) => result !== 'failed'),
      ms: context.now().getTime() - startedAt,
      findings,
      policy,
    };
  } finally {
    close();
  }
}

interface Tested {
  readonly store: ObjectStore;
  readonly checks: readonly Check[];
  readonly policy: PolicyDocument | null;
  /** Nobody may remove them; a rule of the bucket will. */
  readonly leavesTraces?: boolean;
  close(): void;
}

function folderToTest(folder: string): Tested {
  const store = createLocalStore({ root: folder });
  const checks = [writes, looksUp, reads, lists, isPrivateFolder(folder), deletes];
  return { store, checks, policy: null, close: () => store.close() };
}

function bucketToTest(s3: S3Options): Tested {
  const days = s3.lifecycleDays ?? null;
  // A locked test object could not be removed again. That this key can not delete is found out by trying.
  const options = { ...s3, ...patience, objectLock: null, lifecycleDays: null };
  const store = createS3Store(options);
  const connection = connectS3(options);
  const checks = [
    ...[writes, looksUp, reads, lists, isPrivateBucket(store, connection), keepsTime, createsOnly],
    ...[uploadsParts(connection), listsUploads(connection), keepsVersions(connection)],
    ...(days === null
      ? [deletes]
      : [rulesAreAsSet(connection, days), overwritesNothing(connection), deletesNothing(connection)]),
  ];
  const close = () => {
    store.close();
    connection.close();
  };
  const policy = leastPrivilegePolicy({
    ...connection.place,
    locks: Boolean(s3.objectLock),
    isLeftToBucket: days !== null,
  });
  return { store, checks, policy, leavesTraces: days !== null, close };
}

async function carryOut(
  { checks, store, leavesTraces }: Tested,
  { now, signal }: SelfTestContext,
): Promise<readonly Finding[]> {
  const name = `${namesBegin}${randomUUID()}`;
  const traces = new Set<string>();
  const key = (suffix: string) => {
    const made = `${name}.${suffix}`;
    traces.add(made);
    return made;
  };
  const content = Buffer.from(`velist-backup ${name}: this may be deleted\n`);
  const trial: Trial = { store, object: key('object'), content, key, traces, now, signal, tried: false, written: null };
  const findings: Finding[] = [];
  try {
    for (const check of checks) {
      if (check.needsObject && trial.written === null) continue;
      if (signal?.aborted) throw aborted(signal.reason);
      try {
        findings.push({ check: check.name, ...(await check.run(trial)) });
      } catch (thrown) {
        const error = BackupError.from(thrown);
        if (error.code === 'ABORTED') throw error;
        findings.push({
          check: check.name,
          result: 'failed',
          message: `${check.cannot}: ${error.message}`,
          hint: error.hint,
        });
        if (endsTheTest(error)) break;
      }
    }
  } finally {
    const left = await removeTraces(trial);
    if (left.length > 0 && leavesTraces) {
      const message = `${left.length} test objects of a few bytes stay until a rule of the bucket removes them`;
      findings.push({ check: 'traces', result: 'ok', message, hint: null });
    } else if (left.length > 0) {
      const message = `${left.length === 1 ? 'a test object' : `${left.length} test objects`} could not be removed: ${left.join(', ')}`;
      findings.push({ check: 'traces', result: 'warning', message, hint: 'Remove what is there of them by hand.' });
    }
  }
  return findings;
}

/** What is left. Where nothing was written, nothing is known to be. */
async function removeTraces({ store, traces, tried, written }: Trial): Promise<readonly string[]> {
  if (traces.size === 0 || !tried) return [];
  const keys = [...traces];
  try {
    // Not the caller's signal: it may be what brought us here.
    const failures = await store.deleteMany(keys, { signal: AbortSignal.timeout(cleanupTimeoutMs) });
    return written === null ? [] : failures.map(({ key }) => key);
  } catch {
    return written === null ? [] : keys;
  }
}

/** True when every further request would meet the same. */
function endsTheTest({ code, cause }: BackupError): boolean {
  return hopelessCodes.has(code) || hopelessNames.has(factsOf(cause).name);
}

const hopelessCodes: ReadonlySet<string> = new Set([
  'BAD_CONFIG',
  'FOLDER_MISSING',
  'S3_CLOCK',
  'S3_NO_BUCKET',
  'S3_UNREACHABLE',
]);
const hopelessNames: ReadonlySet<string> = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken']);
