/**
 * One drill: the newest backup of a target is restored to a hidden place and judged there. One that is archived, or was
 * removed meanwhile, proves nothing, and gives its turn to the one before.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DRILL_FOLDER } from '../../engine/format/names.ts';
import { planRestore } from '../../engine/restore-points/plan.ts';
import type { DrillRequest, Drilled } from '../../engine/stories/drill.ts';
import { BackupError } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import type { JobAsked } from '../runs/jobs.ts';
import type { DrillAsked } from '../service-port.ts';
import { ProofClock } from './proof-clock.ts';

interface DrilledFrom extends Required<Pick<DrillAsked, 'target' | 'allowPlain'>> {
  readonly identities: readonly string[];
}

type Newest =
  { readonly backup: KnownBackup; readonly obstacle: null } | { readonly backup: null; readonly obstacle: BackupError };

/** When this many in a row are archived, the others are taken to be so too. */
const ARCHIVED_MAX = 3;

interface RehearsalParts {
  readonly backups: Backups;
  /** One SQL statement, or the path of a file with several; null for none. */
  readonly assertions: string | null;
}

export class Rehearsal {
  readonly #context: ServiceContext;
  readonly #parts: RehearsalParts;

  constructor(context: ServiceContext, parts: RehearsalParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** The newest one, or the one before if that is archived, or was removed meanwhile. */
  async rehearseNewest(
    run: ActiveRun,
    first: Newest,
    asked: DrilledFrom & {
      readonly without: ReadonlySet<string>;
      /** Gets each backup before it is tried; null when none is left. */
      readonly onTried: (backup: KnownBackup | null) => void;
    },
  ): Promise<Drilled> {
    const { target, allowPlain, without, onTried } = asked;
    let { backup, obstacle } = first;
    if (!backup) throw obstacle;
    let drilled: Drilled | 'gone' | 'archived' = 'archived';
    // Some servers say so only when the file is asked for.
    for (const archived = new Set<string>(); archived.size < ARCHIVED_MAX; archived.add(backup.name)) {
      const left = new Set([...without, ...archived]);
      const next: KnownBackup | null =
        archived.size === 0 ? backup : (await this.newest(target, { allowPlain, without: left })).backup;
      if (!next) break;
      backup = next;
      onTried(backup);
      drilled = await this.#rehearse(run, backup, asked);
      if (drilled !== 'archived') break;
    }
    if (drilled === 'archived') throw allArchived(backup, target);
    if (drilled === 'gone') {
      ({ backup, obstacle } = await this.newest(target, { allowPlain, without }));
      onTried(backup);
      if (!backup) throw obstacle;
      drilled = await this.#rehearse(run, backup, asked);
    }
    if (drilled === 'gone' || drilled === 'archived') throw removedUnder(backup);
    return drilled;
  }

  /** @param options.without names of backups that can't be had at once. */
  async newest(
    target: TargetName,
    { allowPlain, without = new Set() }: { readonly allowPlain: boolean; readonly without?: ReadonlySet<string> },
  ): Promise<Newest> {
    try {
      const place = await this.#parts.backups.placeAt(target);
      const wish = { point: { latest: true }, purpose: 'drill', allowPlain, without } as const;
      const { chosen, considered, others } = planRestore(wish, [place], { now: this.#context.now() });
      const plain = considered.filter(({ passedOver }) => passedOver?.reason === 'plain');
      if (plain.length > 0 && chosen?.passedOver === null && without.size === 0) {
        const some = plain.length === 1 ? 'one that is' : `${plain.length} that are`;
        this.#context.log(
          'warn',
          `The drill passes over ${some} not encrypted ${where(target)}, such as ${plain[0]?.copy.name}.`,
        );
      }
      if (chosen) return { backup: chosen.copy, obstacle: null };
      throw new BackupError(
        'NO_BACKUP',
        `there is no backup${others.length > 0 ? ' of this database' : ''} ${where(target)}`,
        { hint: 'Make one: velist-backup backup.' },
      );
    } catch (error) {
      return { backup: null, obstacle: BackupError.from(error) };
    }
  }

  /**
   * `gone` where it failed because the backup was removed meanwhile, by retention or by hand, `archived` where the provider
   * would have to bring it back first: that proves nothing.
   */
  async #rehearse(run: ActiveRun, backup: KnownBackup, asked: DrilledFrom): Promise<Drilled | 'gone' | 'archived'> {
    const { target } = asked;
    const { runs, jobs, folder, waits } = this.#context;
    const { assertions } = this.#parts;
    const lockWaitMs = waits.lockMs;
    const staging = join(folder.path, `${DRILL_FOLDER}${randomUUID()}`);
    using clock = new ProofClock(waits.proveMs);
    try {
      const from = await this.#source(backup, asked);
      const request: DrillRequest = { kind: 'drill', name: backup.name, from, staging, assertions, lockWaitMs };
      const drilling = (given: JobAsked) =>
        jobs.run<'drill'>(request, clock.around({ ...given, signal: given.signal ?? run.signal }));
      return await runs.fetching(run, drilling, 'all steps');
    } catch (error) {
      if (run.abort.signal.aborted) throw error;
      clock.throwIfLate();
      if (BackupError.from(error).code === 'S3_ARCHIVED') return 'archived';
      if (await this.#isThere(target, backup.name)) throw error;
      return 'gone';
    } finally {
      // A job that was killed leaves what it restored.
      rmSync(staging, { recursive: true, force: true });
    }
  }

  /** True as well where nobody could look: then the first error stands. */
  async #isThere(target: TargetName, name: string): Promise<boolean> {
    try {
      return (await this.#parts.backups.at(target)).some((backup) => backup.name === name);
    } catch {
      return true;
    }
  }

  async #source(backup: KnownBackup, { target, identities, allowPlain }: DrilledFrom): Promise<DrillRequest['from']> {
    const { backups } = this.#parts;
    if (backup.fault || !backup.manifest) {
      throw new BackupError('BAD_BACKUP', `${backup.name}: ${backup.fault ?? 'its manifest is missing'}`, {
        hint: 'It cannot be relied on. Make a new backup, and find out what happened to this one.',
      });
    }
    const { sha256, sizeBytes } = backup.manifest.database;
    if (target !== 'local') {
      const remote = backups.requireRemote(target);
      return { target, ...remote.access, identities, sizeBytes, refusePlain: remote.isSealed && !allowPlain };
    }
    return { target: 'local', path: await backups.path(backup), sizeBytes, sha256 };
  }
}

export function where(target: TargetName): string {
  return target === 'local' ? 'in the folder' : `on ${targetWord(target)}`;
}

function allArchived({ name }: KnownBackup, target: TargetName): BackupError {
  return new BackupError('S3_ARCHIVED', `${name} ${where(target)} is in an archive class, and so are those before it`, {
    hint: 'A restore from there takes hours. Let the rule of the bucket leave the newest backups where they can be read.',
  });
}

function removedUnder({ name }: KnownBackup): BackupError {
  return new BackupError('GONE', `${name} was removed while the drill read it, like the one before`, {
    hint: 'Backups are removed faster than one is restored. Keep more of them, and try again.',
  });
}
