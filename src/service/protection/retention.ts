/** What retention keeps in the folder and at each target, and why nothing may be removed at present. */
import type { FolderRetention, RetentionPolicy } from '../../engine/catalog/retention.ts';
import { BackupError } from '../../words/errors.ts';
import type { ServiceContext } from '../context.ts';
import type { Rhythm } from '../runs/rhythm.ts';
import { SETTINGS_FILE } from '../state/settings.ts';
import { KEEP_ALL, localRetention, type OwnRetention, ownRetention } from '../targets/retention-policies.ts';
import { isMissing, missingHold } from './missing.ts';
import { holdingCodes, pruneHold } from './prune-hold.ts';

export class Retention {
  readonly #context: ServiceContext;
  readonly #rhythm: Rhythm;

  constructor(context: ServiceContext, rhythm: Rhythm) {
    this.#context = context;
    this.#rhythm = rhythm;
  }

  ofFolder(): Required<FolderRetention> {
    const { settings, options } = this.#context;
    const { databasesOnDisk = () => 1 } = options;
    const byDefault = settings.keepIsDefault ? { databases: databasesOnDisk() } : null;
    // A cron line counts by its shortest gap.
    return localRetention(settings.current, this.#rhythm.gapMinutes().shortest, byDefault);
  }

  /** After a backup: nothing is removed while the settings can't be read. */
  afterBackup(): FolderRetention {
    return this.#context.settings.complaint === null ? this.ofFolder() : KEEP_ALL;
  }

  ofTarget(target: OwnRetention): RetentionPolicy {
    return ownRetention(this.ofFolder(), target);
  }

  /** Why nothing may be removed at present; null when retention does its work. */
  hold(): string | null {
    const { complaint } = this.#context.settings;
    if (complaint === null) return this.databaseHold();
    return `held: ${SETTINGS_FILE} is unreadable (${complaint}), nothing is removed until it is corrected or saved again`;
  }

  /** The same for the database alone: it is missing, or a run found damage. */
  databaseHold(): string | null {
    const { database, state } = this.#context;
    if (isMissing(database.path)) return missingHold(database.name);
    try {
      return pruneHold(state.history.lastJudgement(holdingCodes));
    } catch (error) {
      // Another process holds it: whether something was found is not known.
      return `held: the run history can't be read at the moment (${BackupError.from(error).message})`;
    }
  }
}
