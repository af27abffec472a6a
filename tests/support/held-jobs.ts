/** Jobs that a test answers itself, when it wants to: none of them does anything. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_IDENTITY } from '../../src/engine/catalog/identity.ts';
import type { RemoteListing } from '../../src/engine/catalog/store-catalog.ts';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import type { JobKind, JobMap, JobRequest } from '../../src/engine/process/protocol.ts';
import type { JobOptions, runJob } from '../../src/engine/process/run-job.ts';
import type { Log } from '../../src/service/log.ts';
import type { Settings } from '../../src/service/model.ts';
import { openRooms } from '../../src/service/rooms.ts';
import { BackupError } from '../../src/words/errors.ts';
import { settingsWith } from './settings.ts';

export interface HeldJob<Kind extends JobKind = JobKind> {
  readonly request: Extract<JobRequest, { readonly kind: Kind }>;
  readonly answer: (result: JobMap[Kind]['result']) => void;
  readonly fail: (error: BackupError) => void;
}

export class HeldJobs {
  /** All that were begun, in their order. */
  readonly begun: JobKind[] = [];
  readonly #held: HeldJob[] = [];
  readonly #waiting: (() => void)[] = [];

  /** For the option of that name. */
  readonly runJob: typeof runJob = async <Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    { signal }: Pick<JobOptions, 'signal'>,
  ) => {
    const { promise, resolve, reject } = Promise.withResolvers<JobMap[Kind]['result']>();
    const stop = () => reject(new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again.' }));
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    this.begun.push(request.kind);
    this.#held.push({ request, answer: resolve, fail: reject } as unknown as HeldJob); // of that kind
    for (const hear of this.#waiting.splice(0)) hear();
    return await promise;
  };

  /** Resolves with the next one of that kind that nobody took. */
  async next<Kind extends JobKind>(kind: Kind): Promise<HeldJob<Kind>> {
    for (;;) {
      const index = this.#held.findIndex(({ request }) => request.kind === kind);
      const [job] = index < 0 ? [] : this.#held.splice(index, 1);
      if (job) return job as unknown as HeldJob<Kind>; // of that kind
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

const bucket = { bucket: 'mine', region: 'us-east-1', endpoint: 'https://s3.example.com', retentionCount: null };

/** A service with S3 and a second bucket, whose jobs are held, and which nobody started. */
export function heldService(folder: string, log: Log = () => {}) {
  const jobs = new HeldJobs();
  const rooms = openRooms({
    databasePath: join(folder, 'shop.sqlite'),
    backupsPath: join(folder, 'backups'),
    statePath: join(folder, 'state.sqlite'),
    settings: settingsWith({ s3Enabled: true, s3Path: 'old' }),
    s3: bucket,
    targets: [{ ...bucket, bucket: 'other', name: 'second', prefix: 'backups' }],
    jobEnvironment: {},
    runJob: jobs.runJob,
    log,
  });
  const [s3, second] = [rooms.targets.require('s3'), rooms.targets.require('second')];
  return {
    ...{ jobs, rooms, s3, second },
    /** As if the page changed them. */
    set(settings: Partial<Settings>): void {
      rooms.context.settings.change(settings, []);
      s3.settingsChanged();
    },
    /** Puts a backup into the folder, as a run leaves it. */
    async put(manifest: Manifest): Promise<void> {
      mkdirSync(join(folder, 'backups'), { recursive: true });
      writeFileSync(join(folder, 'backups', manifest.name), new Uint8Array(manifest.artifact.sizeBytes));
      await rooms.context.catalog.writeManifest(manifest);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await rooms.targets.stop();
      rooms.context.release();
    },
  };
}

/** Of a target that holds copies of these. */
export function listingWith(...manifests: readonly Manifest[]): RemoteListing {
  const entries = manifests.map(({ name }) => ({ name, etag: 'a', fault: null }));
  return { entries, read: manifests, unnamed: [], identity: NO_IDENTITY };
}
