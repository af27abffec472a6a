/**
 * Jobs that are carried out in this process, with the clock that a test hands in: a machine's, while the clock of the
 * process is the true time. What passes between service and job goes through JSON, as it does between processes.
 *
 * Only for tests in which nobody else has the database open in this process.
 */
import { makeBackup } from '../../src/engine/backup.ts';
import { LOCK_FILE } from '../../src/engine/catalog/artifact.ts';
import { Catalog } from '../../src/engine/catalog/catalog.ts';
import { drill } from '../../src/engine/drill.ts';
import { BackupError } from '../../src/engine/errors.ts';
import { examineDatabase } from '../../src/engine/examine.ts';
import { fetchBackup } from '../../src/engine/fetch.ts';
import { bringBackMissing } from '../../src/engine/first-boot.ts';
import type { JobRequest, StoryContext } from '../../src/engine/jobs/protocol.ts';
import { prune } from '../../src/engine/prune.ts';
import { changeRemote, listRemoteBackups, pruneRemoteBackups, removeRemote } from '../../src/engine/remote.ts';
import { planRestoreFacts, restoreDatabase } from '../../src/engine/restore.ts';
import { takeLock } from '../../src/engine/run-lock.ts';
import { checkDatabase } from '../../src/engine/sqlite/live-database.ts';
import { verifyFile } from '../../src/engine/sqlite/verify.ts';
import { testTarget } from '../../src/engine/targets/self-test.ts';
import { uploadBackup } from '../../src/engine/upload.ts';
import { Turns } from '../../src/service/turns.ts';
import { join } from 'node:path';

export interface JobsHereOptions {
  readonly now: () => Date;
  /** Instead of carrying that job out here; undefined for the usual way. */
  readonly instead?: (request: JobRequest) => Promise<unknown> | undefined;
}

export class JobsHere extends Turns {
  readonly #options: JobsHereOptions;

  constructor(options: JobsHereOptions) {
    super();
    this.#options = options;
  }

  override async take<Result>(
    request: JobRequest,
    _work: () => Promise<Result>,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Result> {
    const { now, instead } = this.#options;
    const asked = JSON.parse(JSON.stringify(request)) as JobRequest; // as it was
    try {
      const answer = await (instead?.(asked) ?? carryOut(asked, { signal, now, onEvent: () => {} }));
      return JSON.parse(JSON.stringify(answer ?? null)) as Result; // by the protocol
    } catch (error) {
      throw BackupError.fromJSON(BackupError.from(error).toJSON());
    }
  }
}

/** As the program of the jobs does it. */
async function carryOut(request: JobRequest, context: StoryContext): Promise<unknown> {
  switch (request.kind) {
    case 'backup':
      return await makeBackup(request, context);
    case 'verify': {
      const findings = await verifyFile(request.path, { method: request.method });
      if (request.sha256 === null || findings.sha256 === request.sha256) return { ...findings, sqlite: '' };
      throw new BackupError('VERIFY_FAILED', 'the digests differ', { hint: 'Use another backup.' });
    }
    case 'plan':
      return planRestoreFacts(request, context);
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
      return { removed: await prune(new Catalog(request.folder), request.retention, context) };
    }
  }
}
