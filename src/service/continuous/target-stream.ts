/**
 * The stream at one target, with the answers that the stream here gives: what it holds, and a moment of it as a file. It needs
 * neither the database nor what was captured here.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseIdentities } from '../../engine/format/age.ts';
import { takeMomentPlace } from '../../engine/replication/moment-place.ts';
import type { MomentWish, Moments } from '../../engine/stories/moments.ts';
import type { RemoteMomentFileRequest, StreamPlace } from '../../engine/stories/remote-moments.ts';
import type { TargetName } from '../../words/target-word.ts';
import { placeOf } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { JobAsked } from '../runs/jobs.ts';
import type { FromTarget, MomentsAsked } from '../service-port.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import type { MomentFile, MomentSource, OpenedBy } from './moment-source.ts';

/** Hidden beside the backups: segments that came, and those that are not complete. */
const STAGING = '.fetched-stream-';
/** Between the plan of a restore and the restore itself a person may go for coffee. */
const KEPT_MS = 3_600_000;

export class TargetStream implements MomentSource {
  readonly target: TargetName;
  readonly #context: ServiceContext;
  readonly #remote: RemoteTarget;

  constructor(context: ServiceContext, remote: RemoteTarget) {
    this.#context = context;
    this.#remote = remote;
    this.target = remote.target;
  }

  /** Nobody knows it before it was asked. */
  get hasStream(): boolean {
    return true;
  }

  /** @throws BackupError PLAIN_COPY, S3_* */
  async moments(
    wish?: MomentWish,
    { from, to, signal, ...opened }: MomentsAsked & OpenedBy & Pick<JobAsked, 'signal'> = {},
  ): Promise<Moments> {
    const listed = { from: from?.toISOString(), to: to?.toISOString() };
    const request = { kind: 'remote-moments', place: this.place(opened), ...(wish && { wish }), ...listed } as const;
    return await this.#context.jobs.run<'remote-moments'>(request, { ...(signal && { signal }) });
  }

  /** A moment as a file in the folder of the backups, which is removed with what is returned. */
  async momentFile(
    bookmark: string,
    asked?: JobAsked,
    { keep = false, ...opened }: OpenedBy = {},
  ): Promise<MomentFile> {
    const { jobs, catalog, folder, waits } = this.#context;
    // On an empty machine there is no folder yet.
    await catalog.prepare();
    this.sweep();
    const file = takeMomentPlace(folder.path, bookmark);
    const request: RemoteMomentFileRequest = {
      ...{ kind: 'remote-moment-file', place: this.place(opened), bookmark, to: file.path, keep },
      ...{ staging: this.#staging, lockWaitMs: waits.lockMs },
    };
    try {
      await jobs.run<'remote-moment-file'>(request, asked);
      return file;
    } catch (error) {
      // A job that was killed has not removed it.
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** What a job needs to read there. */
  place({ identity, allowPlain = false }: Pick<FromTarget, 'identity' | 'allowPlain'> = {}): StreamPlace {
    const { target, isSealed, access } = this.#remote;
    const identities = identity === undefined ? [] : parseIdentities(identity);
    const bases = placeOf(this.#remote).copies.flatMap(({ name, createdAt, sizeBytes, fault, manifest, other }) => {
      const position = manifest?.position;
      const isGood = fault === null && manifest?.verification.complaint === null && other === undefined;
      return position && isGood ? { name, at: createdAt.toISOString(), sizeBytes, position } : [];
    });
    return { target, ...access, identities, refusePlain: isSealed && !allowPlain, backups: bases };
  }

  /** Removes what a plan brought and no restore asked for any more. */
  sweep(): void {
    try {
      const entries = readdirSync(this.#staging).map((entry) => join(this.#staging, entry));
      const newestMs = Math.max(...entries.map((path) => statSync(path).mtimeMs));
      if (Date.now() - newestMs > KEPT_MS) rmSync(this.#staging, { recursive: true, force: true });
    } catch {
      // There is none, or another user's command made it: it is that one's to clear.
    }
  }

  get #staging(): string {
    return join(this.#context.folder.path, STAGING + this.target);
  }
}
