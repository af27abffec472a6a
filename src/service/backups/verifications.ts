/** Checks of backups and other files, what they found, and files without a manifest that become backups by passing one. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { adoptedManifest, verificationOf } from '../../engine/format/manifest.ts';
import { LOCK_FILE } from '../../engine/format/names.ts';
import { takeLock } from '../../engine/disk/lock.ts';
import { NO_REMARKS, type Remarks } from '../../engine/sqlite/rules.ts';
import { BackupError, says } from '../../words/errors.ts';
import type { ServiceContext } from '../context.ts';
import type { BackupItem } from './shown-backup.ts';
import type { BackupServicePort, FromTarget } from '../service-port.ts';
import type { FetchOptions } from '../targets/downloads.ts';
import type { Claims } from '../targets/claims.ts';
import { isHere, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { FileFindings } from '../../engine/stories/verify.ts';

type VerifyOptions = FromTarget & { readonly full?: boolean; readonly user?: string; readonly signal?: AbortSignal };

export class Verifications {
  readonly #context: ServiceContext;
  readonly #backups: Backups;
  readonly #claims: Claims;

  constructor(context: ServiceContext, parts: { readonly backups: Backups; readonly claims: Claims }) {
    this.#context = context;
    this.#backups = parts.backups;
    this.#claims = parts.claims;
  }

  async verify(filename: string, options: VerifyOptions = {}): Promise<BackupItem> {
    const { runs, jobs } = this.#context;
    const backup = await this.#backups.find(filename, options.from);
    const method = options.full ? 'full' : 'quick';
    const { identity, allowPlain, user, onProgress } = options;
    const weights = isHere(backup) ? { verify: 100 } : { fetch: 70, verify: 30 };
    const about = { kind: 'verify', backup: filename, sizeBytes: backup.sizeBytes, weights, user, onProgress } as const;
    const settled = await runs.settle(about, async (run) => {
      const target = isHere(backup) ? 'local' : backup.target;
      const fetchAnew = (given: FetchOptions) =>
        this.#backups
          .requireRemote(target)
          .downloads.fetchHere(filename, { ...given, identity, allowPlain, anew: true });
      const path = isHere(backup) ? await this.#backups.path(backup) : await runs.fetching(run, fetchAnew);
      const sha256 = backup.manifest?.database.sha256 ?? null;
      const { signal = run.signal } = options;
      return await jobs.run<'verify'>({ kind: 'verify', path, method, sha256 }, { signal, onEvent: run.onEvent });
    });
    // That the check found damage is its answer, not its failure.
    if (settled.error && settled.error.code !== 'VERIFY_FAILED') throw settled.error;
    const found = settled.error ? { facts: null, ...NO_REMARKS } : settled.result;
    const complaint = settled.error?.message ?? null;
    return await this.record(backup, method, complaint, { facts: found.facts, remarks: found });
  }

  async verifyFile(
    path: string,
    options: { readonly full?: boolean } = {},
  ): ReturnType<BackupServicePort['verifyFile']> {
    if (!existsSync(path)) throw new BackupError('NO_BACKUP', `there is no file ${path}`, { hint: 'Check the path.' });
    const method = options.full ? 'full' : 'quick';
    try {
      const request = { kind: 'verify', path: resolve(path), method, sha256: null } as const;
      const { content, unchecked } = await this.#context.jobs.run<'verify'>(request);
      return { ok: true, detail: null, content, unchecked };
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code !== 'VERIFY_FAILED') throw known;
      return { ok: false, detail: known.message, ...NO_REMARKS };
    }
  }

  /** Notes at that copy what a check found of it. */
  async record(
    backup: KnownBackup,
    method: 'quick' | 'full',
    complaint: string | null,
    { facts = null, remarks = NO_REMARKS }: { facts?: FileFindings['facts']; remarks?: Remarks | undefined } = {},
  ): Promise<BackupItem> {
    const at = this.#context.now();
    const verification = { ...verificationOf(method, at, remarks), complaint };
    // Made by a version that counted nothing.
    const counted = facts && !backup.manifest?.facts ? { facts } : {};
    let noted: KnownBackup | null = null;
    if (isHere(backup)) {
      // As it was before it was read: what was written since is seen at the next look.
      const { modifiedNs } = backup;
      const found = complaint === null && modifiedNs !== undefined ? { published: { modifiedNs } } : {};
      if (backup.manifest)
        noted = await this.#context.catalog.changeManifest(backup.name, (manifest) => ({
          ...{ ...manifest, ...counted, verification, ...found },
        }));
    } else this.#backups.requireRemote(backup.target).changes.recordVerification(backup, verification, counted.facts);
    // As that copy is known now.
    const now = await this.#backups
      .find(backup.name, isHere(backup) ? 'local' : backup.target)
      .catch((error: unknown) => {
        // What was found makes it one that retention may remove, and a run beside this one did.
        if (noted === null || !says(BackupError.from(error).code, 'not-there')) throw error;
        return { ...noted, other: backup.other };
      });
    const item = await this.#backups.toItem(now);
    if (complaint === null) return item;
    return { ...item, verified: false, verification: { state: 'damaged', method, at, detail: complaint } };
  }

  async adopt(filename: string): Promise<BackupItem> {
    const { jobs, places, waits, folder, catalog, database, now, emit, warnOnce } = this.#context;
    const backup = await this.#backups.find(filename);
    if (backup.manifest || !isHere(backup)) return await this.#backups.item(filename);
    const findings = await jobs.run<'verify'>({
      kind: 'verify',
      path: await this.#backups.path(backup),
      method: 'quick',
      sha256: null,
    });
    const self = await places.selfToWrite();
    const { signal } = new AbortController();
    using _lock = await takeLock(join(folder.path, LOCK_FILE), { waitMs: waits.lockMs, signal, warn: warnOnce });
    const { ownership } = await this.#claims.requireOwnFolder();
    const origin = {
      ...(ownership.id !== null && { databaseId: ownership.id }),
      ...(self.maker && { madeBy: self.maker }),
    };
    const adopted = adoptedManifest(backup, findings, { verifiedAt: now(), source: database.name });
    await catalog.writeManifest({ ...adopted, ...origin });
    emit({ type: 'status' });
    return await this.#backups.item(filename);
  }
}
