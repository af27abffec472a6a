/**
 * Jobs that are carried out in this process, with the clock that a test hands in: a machine's, while the clock of the
 * process is the true time. What passes between service and job goes through JSON, as it does between processes.
 *
 * Only for tests in which nobody else has the database open in this process.
 */
import { makeBackup } from '../../src/engine/stories/backup.ts';
import { LOCK_FILE } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { drill } from '../../src/engine/stories/drill.ts';
import { BackupError } from '../../src/words/errors.ts';
import { examineDatabase } from '../../src/engine/stories/look.ts';
import { fetchBackup } from '../../src/engine/stories/fetch.ts';
import { bringBackMissing } from '../../src/engine/stories/first-boot.ts';
import type { JobKind, JobMap, JobRequest } from '../../src/engine/process/protocol.ts';
import type { JobOptions, runJob } from '../../src/engine/process/run-job.ts';
import { prune } from '../../src/engine/catalog/prune-folder.ts';
import {
  changeRemote,
  claimRemote,
  listRemoteBackups,
  pruneRemoteBackups,
  removeRemote,
} from '../../src/engine/stories/target.ts';
import { planRestoreFacts, restoreDatabase } from '../../src/engine/stories/restore.ts';
import { takeLock } from '../../src/engine/disk/lock.ts';
import { checkDatabase } from '../../src/engine/sqlite/judge-live.ts';
import { verifyFile } from '../../src/engine/sqlite/verify.ts';
import { testTarget } from '../../src/engine/store/self-test.ts';
import { uploadBackup } from '../../src/engine/stories/upload.ts';
import { join } from 'node:path';
import type { JobEvent, StoryContext } from '../../src/words/story.ts';

export interface JobsHereOptions {
  /** Of the machine. */
  readonly now: () => Date;
  /** Carries that job out in another way; undefined for the usual one. */
  readonly instead?: (request: JobRequest, context: StoryContext) => Promise<unknown> | undefined;
}

export function jobsHere({ now, instead }: JobsHereOptions): typeof runJob {
  return async <Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    { signal = new AbortController().signal, onEvent }: Omit<JobOptions, 'environment'>,
  ) => {
    const asked = JSON.parse(JSON.stringify(request)) as JobRequest; // as it was
    const hear = (event: JobEvent) => onEvent?.(JSON.parse(JSON.stringify(event)) as JobEvent); // as it was
    const context: StoryContext = { signal, now, onEvent: hear };
    try {
      const answer = await (instead?.(asked, context) ?? carryOut(asked, context));
      return JSON.parse(JSON.stringify(answer ?? null)) as JobMap[Kind]['result']; // by the protocol
    } catch (error) {
      throw BackupError.fromJSON(BackupError.from(error).toJSON());
    }
  };
}

/** As the program of the jobs does it. */
export async function carryOut(request: JobRequest, context: StoryContext): Promise<unknown> {
  switch (request.kind) {
    case 'backup':
      return await makeBackup(request, context);
    case 'verify': {
      const findings = await verifyFile(request.path, { method: request.method });
      if (request.sha256 === null || findings.sha256 === request.sha256) return { ...findings, sqlite: '' };
      throw new BackupError('VERIFY_FAILED', 'the digests differ', { hint: 'Use another backup.' });
    }
    case 'plan':
      return planRestoreFacts(request);
    case 'restore':
      return await restoreDatabase(request, context);
    case 'first-boot':
      return await bringBackMissing(request, context);
    case 'upload':
      return await uploadBackup(request, context);
    case 'list-remote':
      return await listRemoteBackups(request, context);
    case 'fetch':
      return await fetchBackup(request, context);
    case 'examine':
      return examineDatabase(request);
    case 'check':
      return checkDatabase(request.databasePath);
    case 'drill':
      return await drill(request, context);
    case 'claim-remote':
      return await claimRemote(request, context);
    case 'change-remote':
      return await changeRemote(request, context);
    case 'remove-remote':
      return await removeRemote(request, context);
    case 'prune-remote':
      return await pruneRemoteBackups(request, context);
    case 'test-target':
      return await testTarget(request.target, context);
    case 'prune': {
      const lock = { waitMs: request.lockWaitMs, signal: context.signal };
      using _lock = await takeLock(join(request.folder, LOCK_FILE), lock);
      return { removed: await prune(new Catalog(request.folder), request.self, request.retention, context) };
    }
  }
}
