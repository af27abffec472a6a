/**
 * Losses between two backups: what a backup job is asked about them, which of them is shown as an alarm, and what people
 * say of it. What counts as a loss is decided in `engine/catalog/loss.ts`; the mark itself is in the manifests, so that another
 * machine, and retention at each target, know it too.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { backupMoment } from '../../engine/format/names.ts';
import type { LossMark } from '../../engine/format/manifest.ts';
import { BackupError } from '../../words/errors.ts';
import type { LossQuestion } from '../../engine/process/protocol.ts';
import { isOpen, isRecovered, type LossRules, markLoss, type OwnChange } from '../../engine/catalog/loss.ts';
import { isVerified } from '../../engine/catalog/retention.ts';
import { isHere, type KnownBackup, toLoss } from '../backups/backup-item.ts';
import { compareBackups, withFacts } from './differences.ts';
import type { Log } from '../log.ts';
import { lossText } from './loss-text.ts';
import type { BackupDiff, Run, Status } from '../model.ts';

/** What the owner set of it. */
export interface LossOptions {
  readonly isOn: boolean;
  /** See `LossRules`. */
  readonly percent: number;
  readonly rows: number;
}

export interface LossesOptions {
  readonly options: LossOptions;
  /** Tables that the app empties regularly. */
  readonly ignored: () => readonly string[];
  readonly ignore: (tables: readonly string[]) => void;
  /** Backups of this database, from the folder and elsewhere, newest first. */
  readonly backups: () => Promise<readonly KnownBackup[]>;
  readonly find: (name: string) => Promise<KnownBackup>;
  /** The same, and what it shows of the loss is written down wherever it is. */
  readonly change: (name: string, loss: LossMark) => Promise<void>;
  readonly lastRestore: () => Run | null;
  /** When a migration of ours ended last. */
  readonly migratedAt: () => Date | null;
  /** A target that is on was not looked at yet. */
  readonly isBlind: () => boolean;
  /** Looks at those. */
  readonly look: () => Promise<unknown>;
  readonly log: Log;
  readonly now: () => Date;
}

export interface LossAnswer {
  /** Left out: the one that is shown. */
  readonly filename?: string;
  /** Its tables are emptied regularly: they are left out from now on. */
  readonly ignore?: boolean;
  readonly user?: string;
}

/** A first backup waits so long for a target that does not answer; it is compared afterwards then. */
const LOOK_MS_MAX = 10_000;

export class Losses {
  readonly #options: LossesOptions;
  /** Made before the targets were looked at, where the backup before it may be. */
  #unreviewed: string | null = null;

  constructor(options: LossesOptions) {
    this.#options = options;
  }

  /** What the job of a backup is asked; undefined while nobody wants to know. */
  async question(): Promise<LossQuestion | undefined> {
    if (!this.#options.options.isOn) return undefined;
    const newest = (await this.#backups()).find(isCounted) ?? (await this.#lookElsewhere());
    const elsewhere = newest && !isHere(newest) ? newest : null;
    return { rules: this.#rules(), ownChange: this.#ownChange(), elsewhere };
  }

  async #backups(): Promise<readonly KnownBackup[]> {
    // A folder that can't be listed is explained by the run itself.
    return await this.#options.backups().catch(() => []);
  }

  /** On a machine that was built anew the history is at the targets alone. */
  async #lookElsewhere(): Promise<KnownBackup | undefined> {
    if (!this.#isBlind()) return undefined;
    await Promise.race([this.#options.look(), sleep(LOOK_MS_MAX, undefined, { ref: false })]);
    return (await this.#backups()).find(isCounted);
  }

  /** A backup was made. */
  made(name: string, loss: LossMark | null): void {
    if (loss) this.#report(name, loss);
    else if (this.#isBlind()) this.#unreviewed ??= name;
  }

  /** Targets that can't be used for a wrong configuration must not fail a local backup. */
  #isBlind(): boolean {
    try {
      return this.#options.isBlind();
    } catch {
      return false;
    }
  }

  /** A target was looked at: the backup before the first one of this process may have been there. */
  async listed(): Promise<void> {
    const name = this.#unreviewed;
    if (name === null) return;
    const backups = await this.#options.backups();
    if (!this.#isBlind()) this.#unreviewed = null;
    const index = backups.findIndex((backup) => backup.name === name);
    const manifest = backups[index]?.manifest;
    if (!manifest || manifest.loss) return;
    const factsOf = (backup: KnownBackup) => backup.manifest?.facts ?? null;
    const context = { rules: this.#rules(), ownChange: this.#ownChange(), factsOf };
    const loss = markLoss(manifest, backups.slice(index + 1), context);
    if (loss === null) return;
    this.#unreviewed = null;
    await this.#options.change(name, loss);
    this.#report(name, loss);
  }

  /** The alarm: the newest loss that nobody answered, as long as what was lost is not back. */
  shown(backups: readonly KnownBackup[]): Status['loss'] {
    const { options, now } = this.#options;
    if (!options.isOn) return null;
    for (const marked of openOnes(backups, now())) {
      const { name: filename, createdAt: at, manifest } = marked;
      const newer = backups.slice(0, backups.indexOf(marked));
      const facts = newer.find(isCounted)?.manifest?.facts;
      if (!manifest?.loss || (facts && isRecovered(manifest.loss, facts))) continue;
      return { ...toLoss(manifest.loss), filename, at, beforeAt: backupMoment(manifest.loss.before) ?? at };
    }
    return null;
  }

  /**
   * It was meant: the alarm ends, and retention goes its way again.
   *
   * @returns the name of the backup that shows it.
   * @throws BackupError BAD_REQUEST where none is shown, or that backup shows none; NO_BACKUP, S3_*.
   */
  async accept({ filename, ignore = false, user }: LossAnswer): Promise<string> {
    const backups = await this.#options.backups();
    const name = filename ?? this.shown(backups)?.filename ?? openOnes(backups, this.#options.now())[0]?.name;
    if (name === undefined) {
      throw new BackupError('BAD_REQUEST', 'there is no loss that waits for an answer', {
        hint: 'List the backups to see what changed in each.',
      });
    }
    const loss = await this.#lossOf(name);
    const accepted = { at: this.#options.now().toISOString(), user: user ?? null };
    await this.#options.change(name, { ...loss, accepted });
    // The mark of a backup that was deleted went on to the next one, and may be at a target still.
    for (const twin of openOnes(backups, this.#options.now())) {
      const other = twin.manifest?.loss;
      if (other?.before === loss.before && twin.name !== name)
        await this.#options.change(twin.name, { ...other, accepted });
    }
    const tables = loss.tables.map((table) => table.name);
    if (ignore && tables.length > 0) this.#options.ignore([...new Set([...this.#options.ignored(), ...tables])]);
    const by = user === undefined ? '' : ` by ${user}`;
    const from = ignore && tables.length > 0 ? ` From now on nobody is told of ${tables.join(', ')}.` : '';
    this.#options.log('info', `The loss in ${name} was accepted${by}.${from}`);
    return name;
  }

  /** Takes an answer back, for the one that was given by mistake. */
  async reopen(name: string): Promise<string> {
    const loss = await this.#lossOf(name);
    if (loss.accepted !== null) await this.#options.change(name, { ...loss, accepted: null });
    return name;
  }

  /** A backup that shows an open loss is about to be deleted: the next one shows it as well, and bears its mark. */
  async passOn(name: string): Promise<void> {
    const backups = await this.#options.backups();
    const index = backups.findIndex((backup) => backup.name === name);
    const marked = backups[index];
    const mark = marked?.manifest?.loss;
    if (!marked || !mark || !isOpen(marked, this.#options.now())) return;
    const next = backups.slice(0, index).findLast((backup) => isSound(backup));
    // Without a newer one, the next backup is compared with the one before the loss.
    if (!next?.manifest || next.manifest.loss) return;
    const { facts } = next.manifest;
    if (!facts || !isRecovered(mark, facts)) await this.#options.change(next.name, mark);
  }

  /** @throws BackupError BAD_REQUEST for a backup that was not counted; BAD_NAME, NO_BACKUP. */
  async diff(a: string, b: string): Promise<BackupDiff> {
    const [before, after] = [await this.#counted(a), await this.#counted(b)];
    return compareBackups(before, after);
  }

  async #counted(name: string): Promise<NonNullable<ReturnType<typeof withFacts>>> {
    const backup = name === 'latest' ? (await this.#options.backups()).find(isSound) : await this.#options.find(name);
    if (!backup) {
      throw new BackupError('NO_BACKUP', 'there is no verified backup yet', { hint: 'List the backups.' });
    }
    const counted = withFacts(backup);
    if (counted) return counted;
    throw new BackupError('BAD_REQUEST', `the tables of ${backup.name} were not counted`, {
      hint: 'It was made by an older version, or never checked: verify it, then compare again.',
    });
  }

  async #lossOf(name: string): Promise<LossMark> {
    const loss = (await this.#options.find(name)).manifest?.loss;
    if (loss) return loss;
    throw new BackupError('BAD_REQUEST', `${name} shows no loss`, { hint: 'The status names the backup that does.' });
  }

  #report(name: string, loss: LossMark): void {
    const at = backupMoment(name) ?? this.#options.now();
    const beforeAt = backupMoment(loss.before) ?? at;
    this.#options.log(
      'warn',
      `Much was lost: ${lossText({ ...toLoss(loss), at, beforeAt })}. ${loss.before} is kept until somebody says that it was meant.`,
    );
  }

  #rules(): LossRules {
    const { percent, rows } = this.#options.options;
    return { percent, rows, ignore: this.#options.ignored() };
  }

  #ownChange(): OwnChange | null {
    const restore = this.#options.lastRestore();
    const migratedAt = this.#options.migratedAt();
    if (restore && (migratedAt === null || restore.endedAt > migratedAt))
      return { at: restore.endedAt, restored: restore.backup };
    return migratedAt && { at: migratedAt, restored: null };
  }
}

function openOnes(backups: readonly KnownBackup[], now: Date): readonly KnownBackup[] {
  return backups.filter((backup) => isOpen(backup, now));
}

function isCounted(backup: KnownBackup): boolean {
  return isSound(backup) && backup.manifest?.facts !== undefined;
}

/** A safety backup holds what a restore replaced. */
function isSound(backup: KnownBackup): boolean {
  return isVerified(backup) && backup.manifest?.trigger !== 'safety';
}
