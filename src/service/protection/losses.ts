/**
 * Losses between two backups: what a backup job is asked about them, which of them is shown as an alarm, and what people
 * say of it. What counts as a loss is decided in `engine/catalog/loss.ts`; the mark itself is in the manifests, so that another
 * machine, and retention at each target, know it too.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { backupMoment } from '../../engine/format/names.ts';
import { isAside, type LossMark } from '../../engine/format/manifest.ts';
import { BackupError } from '../../words/errors.ts';
import {
  isOpen,
  isRecovered,
  LOSS_RULES,
  type LossRules,
  markLoss,
  type OwnChange,
} from '../../engine/catalog/loss.ts';
import { isVerified } from '../../engine/catalog/retention.ts';
import { isHere, type KnownBackup, ownOf, toLoss } from '../backups/backup-item.ts';
import { compareBackups, withFacts } from './differences.ts';
import type { Backups } from '../backups/backups.ts';
import type { Changes } from '../backups/changes.ts';
import { currentActor } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import { knownGood } from '../restores/recovery-kit.ts';
import type { Restores } from '../restores/restores.ts';
import type { LossOptions } from '../service-options.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { lossText } from './loss-text.ts';
import type { BackupDiff } from '../backups/shown-backup.ts';
import type { Status } from './shown-status.ts';
import type { LossQuestion } from '../../engine/stories/mark-loss.ts';

interface LossesParts {
  readonly backups: Pick<Backups, 'everywhere' | 'find' | 'places'>;
  readonly changes: Pick<Changes, 'change'>;
  readonly restores: Pick<Restores, 'lastRestore'>;
  readonly targets: Pick<RemoteTargets, 'unseen'>;
  /** Tables that the app empties regularly, from now on. */
  readonly ignore: (tables: readonly string[]) => void;
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
  readonly #context: ServiceContext;
  readonly #parts: LossesParts;
  readonly #rule: LossOptions;
  /** The backup that is made now is compared without a target that was not looked at. */
  #isUnsure = false;
  /** Made so. */
  #unreviewed: string | null = null;

  constructor(context: ServiceContext, parts: LossesParts) {
    this.#context = context;
    this.#parts = parts;
    this.#rule = context.options.loss ?? { isOn: true, ...LOSS_RULES };
  }

  /** What the job of a backup is asked; undefined while nobody wants to know. */
  async question(): Promise<LossQuestion | undefined> {
    if (!this.#rule.isOn) return undefined;
    // Asked before the backups are read: a target that is listed meanwhile is not among them yet.
    this.#isUnsure = this.#isBlind();
    const newest = (await this.#ownIfListed()).find(isCounted) ?? (await this.#lookElsewhere());
    const elsewhere = newest && !isHere(newest) ? newest : null;
    return { rules: this.#rules(), ownChange: this.#ownChange(), elsewhere };
  }

  /** Those of this database, from the folder and elsewhere, newest first. */
  async #own(): Promise<readonly KnownBackup[]> {
    return ownOf(await this.#parts.backups.everywhere());
  }

  async #ownIfListed(): Promise<readonly KnownBackup[]> {
    // A folder that can't be listed is explained by the run itself.
    return await this.#own().catch(() => []);
  }

  /** On a machine that was built anew the history is at the targets alone. */
  async #lookElsewhere(): Promise<KnownBackup | undefined> {
    if (!this.#isUnsure) return undefined;
    const look = Promise.allSettled(this.#parts.targets.unseen().map((remote) => remote.refresh()));
    await Promise.race([look, sleep(LOOK_MS_MAX, undefined, { ref: false })]);
    this.#isUnsure = this.#isBlind();
    return (await this.#ownIfListed()).find(isCounted);
  }

  /** A backup was made, in answer to `question`. */
  async made(name: string, loss: LossMark | null): Promise<void> {
    if (loss) return this.#report(name, loss);
    if (!this.#isUnsure) return;
    this.#unreviewed ??= name;
    // The target may have been listed while it was made.
    await this.listed();
  }

  /** Targets that can't be used for a wrong configuration must not fail a local backup. */
  #isBlind(): boolean {
    try {
      return this.#parts.targets.unseen().length > 0;
    } catch {
      return false;
    }
  }

  /** After a look at a target: the first backup of this process is compared with what was found there. */
  async listed(): Promise<void> {
    try {
      await this.#compareUnreviewed();
    } catch (error) {
      this.#context.log('warn', `What was lost was not compared: ${BackupError.from(error).message}.`);
    }
  }

  async #compareUnreviewed(): Promise<void> {
    const name = this.#unreviewed;
    if (name === null) return;
    // As for the question.
    const isBlind = this.#isBlind();
    const backups = await this.#own();
    // Another look was faster.
    if (this.#unreviewed !== name) return;
    const loss = this.#lossIn(name, backups);
    if (loss === null && isBlind) return;
    this.#unreviewed = null;
    if (loss === null) return;
    try {
      await this.#parts.changes.change(name, { loss });
    } catch (error) {
      // The next look tries again.
      this.#unreviewed ??= name;
      throw error;
    }
    this.#report(name, loss);
  }

  #lossIn(name: string, backups: readonly KnownBackup[]): LossMark | null {
    const index = backups.findIndex((backup) => backup.name === name);
    const backup = backups[index];
    if (!backup?.manifest || backup.manifest.loss) return null;
    // It was numbered without those that are elsewhere alone: they were made before it, whatever their numbers say.
    const earlier = backups.filter((other, at) => at > index || (at < index && !isHere(other)));
    const own = this.#ownChange();
    // What we did after it was made excuses nothing in it.
    const ownChange = own !== null && own.at <= backup.createdAt ? own : null;
    const factsOf = ({ manifest }: KnownBackup) => manifest?.facts ?? null;
    return markLoss(backup.manifest, earlier, { rules: this.#rules(), ownChange, factsOf });
  }

  /** The alarm: the newest loss that nobody answered, as long as what was lost is not back. */
  shown(backups: readonly KnownBackup[]): Status['loss'] {
    const { now } = this.#context;
    if (!this.#rule.isOn) return null;
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
  async accept(answer: LossAnswer): Promise<string> {
    const act = { act: 'accept-loss', subject: answer.filename ?? null } as const;
    return await this.#context.audit.carry(act, () => this.#accept(answer), {
      actor: currentActor(answer.user),
      done: (subject) => ({ ...act, subject }),
    });
  }

  async #accept({ filename, ignore = false, user }: LossAnswer): Promise<string> {
    const backups = await this.#own();
    const name = filename ?? this.shown(backups)?.filename ?? openOnes(backups, this.#context.now())[0]?.name;
    if (name === undefined) {
      throw new BackupError('BAD_REQUEST', 'there is no loss that waits for confirmation', {
        hint: 'List the backups to see what changed in each.',
      });
    }
    const loss = await this.#lossOf(name);
    const accepted = { at: this.#context.now().toISOString(), user: user ?? null };
    await this.#parts.changes.change(name, { loss: { ...loss, accepted } });
    // The mark of a backup that was deleted went on to the next one, and may be at a target still.
    for (const twin of openOnes(backups, this.#context.now())) {
      const other = twin.manifest?.loss;
      if (other?.before === loss.before && twin.name !== name)
        await this.#parts.changes.change(twin.name, { loss: { ...other, accepted } });
    }
    const tables = loss.tables.map((table) => table.name);
    if (ignore && tables.length > 0)
      this.#parts.ignore([...new Set([...this.#context.settings.current.lossIgnore, ...tables])]);
    const by = user === undefined ? '' : ` by ${user}`;
    const from = ignore && tables.length > 0 ? ` From now on these tables raise no alarm: ${tables.join(', ')}.` : '';
    this.#context.log('info', `The loss in ${name} was accepted${by}.${from}`);
    return name;
  }

  /** Takes an answer back, for the one that was given by mistake. */
  async reopen(name: string): Promise<string> {
    return await this.#context.audit.carry({ act: 'reopen-loss', subject: name }, async () => {
      const loss = await this.#lossOf(name);
      if (loss.accepted !== null) await this.#parts.changes.change(name, { loss: { ...loss, accepted: null } });
      return name;
    });
  }

  /** A backup that shows an open loss is about to be deleted: the next one shows it as well, and bears its mark. */
  async passOn(name: string): Promise<void> {
    const backups = await this.#own();
    const index = backups.findIndex((backup) => backup.name === name);
    const marked = backups[index];
    const mark = marked?.manifest?.loss;
    if (!marked || !mark || !isOpen(marked, this.#context.now())) return;
    const next = backups.slice(0, index).findLast((backup) => isSound(backup));
    // Without a newer one, the next backup is compared with the one before the loss.
    if (!next?.manifest || next.manifest.loss) return;
    const { facts } = next.manifest;
    if (!facts || !isRecovered(mark, facts)) await this.#parts.changes.change(next.name, { loss: mark });
  }

  /** @throws BackupError BAD_REQUEST for a backup that was not counted; BAD_NAME, NO_BACKUP. */
  async diff(a: string, b: string): Promise<BackupDiff> {
    const [before, after] = [await this.#counted(a), await this.#counted(b)];
    return compareBackups(before, after);
  }

  async #newestGood(): Promise<KnownBackup | undefined> {
    return knownGood(await this.#parts.backups.places(), this.#context.now())[0];
  }

  async #counted(name: string): Promise<NonNullable<ReturnType<typeof withFacts>>> {
    const backup = name === 'latest' ? await this.#newestGood() : await this.#parts.backups.find(name);
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
    const loss = (await this.#parts.backups.find(name)).manifest?.loss;
    if (loss) return loss;
    throw new BackupError('BAD_REQUEST', `${name} shows no loss`, { hint: 'The status names the backup that does.' });
  }

  #report(name: string, loss: LossMark): void {
    const at = backupMoment(name) ?? this.#context.now();
    const beforeAt = backupMoment(loss.before) ?? at;
    this.#context.log(
      'warn',
      `Much was lost: ${lossText({ ...toLoss(loss), at, beforeAt })}. ${loss.before} is kept until somebody confirms that it was intended.`,
    );
  }

  #rules(): LossRules {
    const { percent, rows } = this.#rule;
    return { percent, rows, ignore: this.#context.settings.current.lossIgnore };
  }

  #ownChange(): OwnChange | null {
    const restore = this.#parts.restores.lastRestore();
    const migrated = this.#context.state.history.note('migrated');
    const migratedAt = migrated === null ? null : new Date(migrated);
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

function isSound(backup: KnownBackup): boolean {
  return isVerified(backup) && !isAside(backup.manifest);
}
