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
import { BackupError, says } from '../../words/errors.ts';
import { createLocalStore } from './folder/store.ts';
import { type TargetAccess, targetToTest } from './kinds.ts';
import type { PolicyDocument } from './s3/policy.ts';
import {
  deletes,
  type Check,
  type Finding,
  isFast,
  isPrivateFolder,
  lists,
  looksUp,
  namesBegin,
  reads,
  type TestedTarget,
  type Trial,
  writes,
} from './self-test-checks.ts';
import { aborted } from './store.ts';

export interface TestTargetRequest {
  readonly kind: 'test-target';
  readonly target: TargetToTest;
}

type TargetToTest =
  | { readonly name: 'local'; readonly folder: string }
  | { readonly name: string; readonly access: TargetAccess; readonly prefix: string };

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

interface SelfTestContext {
  readonly now: () => Date;
  readonly signal?: AbortSignal;
  /** Where the target is about to be set up: asks first whether it is there, then this, then the rest. */
  readonly before?: readonly Check[];
  /** Hears of each finding at once. */
  readonly onFinding?: (finding: Finding) => void;
}

const cleanupTimeoutMs = 15_000;

/** @throws BackupError ABORTED, and BAD_CONFIG when the settings name no target at all. */
export async function testTarget(target: TargetToTest, context: SelfTestContext): Promise<TargetReport> {
  const startedAt = context.now().getTime();
  const tested = 'access' in target ? targetToTest(target.access, target.prefix) : folderToTest(target.folder);
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

function folderToTest(folder: string): TestedTarget {
  const store = createLocalStore({ root: folder });
  const checks = [writes, looksUp, reads, lists, isPrivateFolder(folder), deletes];
  return { store, checks, contact: [], policy: null, close: () => store.close() };
}

async function carryOut(
  { checks, contact, store, leavesTraces, isHopeless }: TestedTarget,
  { now, signal, before, onFinding }: SelfTestContext,
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
  const first = [...contact, ...(before ?? [])];
  let beganMs = performance.now();
  const found = (finding: Finding): void => {
    const ms = Math.round(performance.now() - beganMs);
    findings.push(onFinding ? { ...finding, ms } : finding);
    onFinding?.({ ...finding, ms });
  };
  try {
    for (const check of before ? [...first, ...checks.slice(0, -1), isFast, ...checks.slice(-1)] : checks) {
      if (check.needsObject && trial.written === null) continue;
      if (signal?.aborted) throw aborted(signal.reason);
      beganMs = performance.now();
      try {
        found({ check: check.name, ...(await check.run(trial)) });
      } catch (thrown) {
        const error = BackupError.from(thrown);
        if (error.code === 'ABORTED') throw error;
        const message = `${check.cannot}: ${error.message}`;
        found({ check: check.name, result: 'failed', message, hint: error.hint });
        // Every further request would meet the same, and nothing is written at a place that is another database's.
        if (says(error.code, 'whole-target') || isHopeless?.(error) || first.includes(check)) break;
      }
    }
  } finally {
    const left = await removeTraces(trial);
    if (left.length > 0 && leavesTraces) {
      const message = `${left.length} test objects of a few bytes stay until a rule of the bucket removes them`;
      found({ check: 'traces', result: 'ok', message, hint: null });
    } else if (left.length > 0) {
      const message = `${left.length === 1 ? 'a test object' : `${left.length} test objects`} could not be removed: ${left.join(', ')}`;
      found({ check: 'traces', result: 'warning', message, hint: 'Remove those that are still there by hand.' });
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
