/**
 * Drills: the newest backup of each target is restored to a hidden place, judged and removed, once a day while the
 * schedule runs and whenever somebody asks. They go on beside the line of runs and hold up no backup.
 *
 * A drill is a check too: damage that it finds is noted at that copy, as `verify` does.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseIdentities } from '../engine/age.ts';
import { DRILL_FOLDER } from '../engine/catalog/artifact.ts';
import { BackupError, type ErrorCode } from '../engine/errors.ts';
import type { Drilled, DrillRequest } from '../engine/jobs/protocol.ts';
import type { Remarks } from '../engine/sqlite/rules.ts';
import type { JobOptions } from '../engine/jobs/run-job.ts';
import type { ActiveRun } from './active-run.ts';
import { isHere, isOwn, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { Log } from './log.ts';
import type { DrillReport, Run, RunProgress, TargetDrill, TargetName } from './model.ts';
import { targetWord } from './remote-targets.ts';
import type { RunHistory } from './run-history.ts';
import type { Runs } from './runs.ts';
import { remarkTexts } from './remarks.ts';

export interface DrillsOptions {
  readonly backups: Backups;
  readonly runs: Runs;
  readonly history: () => RunHistory;
  /** Of the backups; what is restored lies in it, hidden, for as long as it takes. */
  readonly folder: string;
  /** Once a day by itself. */
  readonly isScheduled: boolean;
  /** One SQL statement, or the path of a file with several; null for none. */
  readonly assertions: string | null;
  /** Names of those beside the folder that are on. */
  readonly remotes: () => readonly TargetName[];
  readonly lockWaitMs: number;
  /** For the owner's statements, all together; ten minutes, if not given. */
  readonly proveMaxMs?: number | undefined;
  readonly job: (request: DrillRequest, options: Omit<JobOptions, 'environment'>) => Promise<Drilled>;
  /** The check of a copy that was opened: null when it passed. */
  readonly onJudged: (backup: KnownBackup, complaint: string | null, remarks?: Remarks) => Promise<unknown>;
  readonly log: Log;
  readonly now: () => Date;
}

export interface DrillAsked {
  /** Left out: each that is on. */
  readonly target?: TargetName;
  /** The text of an identity file of age, with the private key that opens an encrypted copy. */
  readonly identity?: string;
  /** Proves a copy that is not encrypted also where copies are to be. Else it is passed over, or PLAIN_COPY. */
  readonly allowPlain?: boolean;
  readonly user?: string;
  readonly trigger?: 'manual' | 'cli' | 'schedule';
  readonly onProgress?: (run: RunProgress) => void;
}

type Listener = (run: RunProgress) => void;

interface DrilledFrom extends Required<Pick<DrillAsked, 'target' | 'allowPlain'>> {
  readonly identities: readonly string[];
}

const EVERY_MS = 24 * 3_600_000;
/** An app that has just started has other things to do. */
const FIRST_AFTER_MS = 10 * 60_000;
/** When there was nothing to drill, or nobody could look. */
const RETRY_MS = 3_600_000;

/** A statement that never ends would hold its process, and the lock of drills, for ever. */
const PROVE_MAX_MS = 10 * 60_000;

/**
 * What says something about the backup, or about the way to it. All else (another process drills, no room, the wrong
 * private key, S3 away for a while) is an answer to whoever asked, no proof against the backup: it wakes nobody, what
 * was known before goes on to count, and the schedule tries again in an hour.
 */
const verdicts: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['VERIFY_FAILED', 'BAD_BACKUP', 'PLAIN_COPY', 'DRILL_FAILED', 'CHECK_GAVE_UP'] as const),
  ...(['S3_DENIED', 'S3_NO_BUCKET'] as const),
]);

/** So many more are tried where the check of one was given up, which has cost all that it may. */
const GAVE_UP_MAX = 2;

/** When this many in a row are archived, the others are taken to be so too. */
const ARCHIVED_MAX = 3;

const weights = { local: { fetch: 30, check: 65, prove: 5 }, remote: { fetch: 60, check: 35, prove: 5 } };

export class Drills {
  readonly #options: DrillsOptions;
  readonly #going = new Set<Promise<unknown>>();
  readonly #runs = new Set<ActiveRun>();
  /** Of one target, with the same private key: who asks for it while it goes on gets its answer. */
  readonly #shared = new Map<string, { readonly drill: Promise<TargetDrill>; readonly listeners: Listener[] }>();
  #notBeforeMs = 0;
  /** While `stop` waits: what begins now ends at once. */
  #stopping = false;

  constructor(options: DrillsOptions) {
    this.#options = options;
  }

  /** The schedule begins. */
  begin(): void {
    this.#notBeforeMs = this.#options.now().getTime() + FIRST_AFTER_MS;
  }

  /** At each wake of the schedule. */
  wake(): void {
    const { isScheduled, now } = this.#options;
    const nowMs = now().getTime();
    if (!isScheduled || this.#going.size > 0 || nowMs < this.#notBeforeMs) return;
    const due = this.#targets().filter((target) => this.#isDue(target, nowMs));
    if (due.length === 0) return;
    this.#notBeforeMs = nowMs + RETRY_MS;
    void this.#drillEach(due, { trigger: 'schedule' }).catch((error: unknown) =>
      this.#options.log('error', `The drill could not be run: ${BackupError.from(error).message}`),
    );
  }

  /** @throws BackupError BAD_REQUEST for a target that is not configured, and for a text that is no identity. */
  async run(asked: DrillAsked = {}): Promise<DrillReport> {
    if (asked.target !== undefined && asked.target !== 'local') this.#options.backups.requireOffsite(asked.target);
    const identities = asked.identity === undefined ? [] : parseIdentities(asked.identity);
    const drills = await this.#drillEach(asked.target ? [asked.target] : this.#targets(), asked, identities);
    return { ok: drills.every(({ result }) => result === 'proven' || result === 'sealed'), drills };
  }

  /** Resolves when none is going. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const run of this.#runs) run.abort.abort();
    await Promise.allSettled(this.#going);
    this.#stopping = false;
  }

  #targets(): readonly TargetName[] {
    return ['local', ...this.#options.remotes()];
  }

  #isDue(target: TargetName, nowMs: number): boolean {
    const last = this.#options.history().lastDrill(target);
    // One of the future was before the clock went back.
    return last === null || Math.abs(nowMs - last.endedAt.getTime()) >= EVERY_MS;
  }

  /** One after the other: each needs room for a whole database. */
  async #drillEach(
    targets: readonly TargetName[],
    asked: DrillAsked,
    identities: readonly string[] = [],
  ): Promise<readonly TargetDrill[]> {
    const going = this.#oneByOne(targets, asked, identities);
    this.#going.add(going);
    return await going.finally(() => this.#going.delete(going));
  }

  async #oneByOne(
    targets: readonly TargetName[],
    asked: DrillAsked,
    identities: readonly string[],
  ): Promise<readonly TargetDrill[]> {
    const drills: TargetDrill[] = [];
    for (const target of targets) {
      const tried = new Set<string>();
      for (;;) {
        const drill = await this.#join(target, asked, identities, tried);
        drills.push(drill);
        if (drill.result === 'stopped') return drills;
        // Nothing is known of that backup; the one before it is what a restore would fall back to.
        const { backup, error } = drill;
        if (error?.code !== 'CHECK_GAVE_UP' || backup === null || tried.size >= GAVE_UP_MAX) break;
        tried.add(backup);
        const next = { allowPlain: asked.allowPlain ?? false, without: tried };
        if ((await this.#newest(target, next)).backup === null) break;
      }
    }
    return drills;
  }

  async #join(
    target: TargetName,
    asked: DrillAsked,
    identities: readonly string[],
    without: ReadonlySet<string>,
  ): Promise<TargetDrill> {
    const key = [target, asked.allowPlain ?? false, ...identities, ...without].join(' ');
    const going = this.#shared.get(key);
    if (going) {
      if (asked.onProgress) going.listeners.push(asked.onProgress);
      return await going.drill;
    }
    const listeners = asked.onProgress ? [asked.onProgress] : [];
    const onProgress: Listener = (run) => {
      for (const listener of listeners) listener(run);
    };
    const drill = this.#drill(target, { ...asked, onProgress }, identities, new Set(without));
    this.#shared.set(key, { drill, listeners });
    return await drill.finally(() => this.#shared.delete(key));
  }

  async #drill(
    target: TargetName,
    asked: DrillAsked,
    identities: readonly string[],
    without: ReadonlySet<string>,
  ): Promise<TargetDrill> {
    const { runs, log } = this.#options;
    const { trigger = 'manual', user = null, allowPlain = false } = asked;
    let { backup, obstacle } = await this.#newest(target, { allowPlain, without });
    const run = runs.begin({
      ...({ kind: 'drill', trigger, user } as const),
      backup: backup?.name ?? null,
      weights: weights[placeOf(target)],
    });
    run.listen(asked.onProgress);
    this.#runs.add(run);
    if (this.#stopping) run.abort.abort();
    try {
      if (!backup) throw obstacle;
      let drilled: Drilled | 'gone' | 'archived' = 'archived';
      // Some servers say so only when the file is asked for.
      for (const archived = new Set<string>(); archived.size < ARCHIVED_MAX; archived.add(backup.name)) {
        const left = new Set([...without, ...archived]);
        const next: KnownBackup | null =
          archived.size === 0 ? backup : (await this.#newest(target, { allowPlain, without: left })).backup;
        if (!next) break;
        backup = next;
        drilled = await this.#rehearse(run, backup, { target, identities, allowPlain });
        if (drilled !== 'archived') break;
      }
      if (drilled === 'archived') throw allArchived(backup, target);
      if (drilled === 'gone') {
        ({ backup, obstacle } = await this.#newest(target, { allowPlain, without }));
        if (!backup) throw obstacle;
        drilled = await this.#rehearse(run, backup, { target, identities, allowPlain });
      }
      if (drilled === 'gone' || drilled === 'archived') throw removedUnder(backup);
      const { proof, sizeBytes, assertions } = drilled;
      const remarks = remarkTexts(drilled);
      const { name } = backup;
      const report = run.end({
        ...{ result: 'success', backup: name, sizeBytes },
        drill: { target, proof, assertions, ...(remarks.length > 0 && { remarks }) },
      });
      runs.record(report);
      const took = `${(msOf(report) / 1_000).toFixed(1)} s`;
      log(
        'info',
        proof === 'restored'
          ? [`Drill: ${name} (${target}) was restored and proven in ${took}`, ...remarks, ''].join('. ').trim()
          : `Drill: ${name} (${target}) is what was stored; its content was not opened, because the private key is not here.`,
      );
      if (proof === 'restored') await this.#note(backup, null, drilled);
      return toDrill(target, report);
    } catch (error) {
      const known = BackupError.from(error);
      const result = known.code === 'ABORTED' ? 'stopped' : 'failed';
      const isVerdict = verdicts.has(known.code);
      const report = run.end({
        ...{ result, backup: backup?.name ?? null, error: known },
        ...(isVerdict && { drill: { target, proof: null, assertions: 0 } }),
      });
      // Nobody asked, and it would be said each hour.
      if (trigger !== 'schedule' || isVerdict) runs.record(report);
      const text = `(${target}): ${known.message}. ${known.hint}`;
      if (isVerdict) log('error', `Drill failed ${text}`);
      else if (result === 'failed' && known.code !== 'NO_BACKUP') log('warn', `The drill could not be made ${text}`);
      if (backup && known.code === 'VERIFY_FAILED') await this.#note(backup, known.message);
      return toDrill(target, report);
    } finally {
      this.#runs.delete(run);
    }
  }

  /** @param options.without names of backups that can't be had at once. */
  async #newest(
    target: TargetName,
    { allowPlain, without = new Set() }: { readonly allowPlain: boolean; readonly without?: ReadonlySet<string> },
  ): Promise<
    | { readonly backup: KnownBackup; readonly obstacle: null }
    | { readonly backup: null; readonly obstacle: BackupError }
  > {
    try {
      const all = await this.#options.backups.at(target);
      const own = all.filter(isOwn);
      // What nobody made a manifest of is not ours; a safety backup holds what a restore replaced.
      const ours = own
        .filter(({ name }) => !without.has(name))
        .filter(({ manifest, fault }) => fault ?? (manifest && manifest.trigger !== 'safety'));
      // A rehearsal does not wait for hours: what lies in an archive class is passed over, if there is another.
      const refused = (one: KnownBackup) =>
        !isHere(one) && !allowPlain && this.#options.backups.requireOffsite(one.target).refuses(one);
      const taken = ours.filter((one) => !refused(one));
      const plain = ours.length - taken.length;
      if (plain > 0 && taken.length > 0 && without.size === 0) {
        const some = plain === 1 ? 'one that is' : `${plain} that are`;
        this.#options.log(
          'warn',
          `The drill passes over ${some} not encrypted ${where(target)}, such as ${ours.find(refused)?.name}.`,
        );
      }
      const backup = taken.find((one) => isHere(one) || !one.archive) ?? taken[0] ?? ours[0];
      if (backup) return { backup, obstacle: null };
      const others = own.length < all.length ? ' of this database' : '';
      throw new BackupError('NO_BACKUP', `there is no backup${others} ${where(target)}`, {
        hint: 'Make one: velist-backup backup.',
      });
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
    const { runs, folder, assertions, lockWaitMs, job, proveMaxMs = PROVE_MAX_MS } = this.#options;
    const staging = join(folder, `${DRILL_FOLDER}${randomUUID()}`);
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    try {
      const from = await this.#source(backup, asked);
      const request: DrillRequest = { kind: 'drill', name: backup.name, from, staging, assertions, lockWaitMs };
      const drilling = ({ signal = run.abort.signal, onEvent }: Omit<JobOptions, 'environment'>) =>
        job(request, {
          signal: AbortSignal.any([signal, late.signal]),
          onEvent: (event) => {
            onEvent?.(event);
            if (event.type === 'step' && event.name === 'prove') timer ??= setTimeout(() => late.abort(), proveMaxMs);
          },
        });
      return await runs.fetching(run, drilling, 'all steps');
    } catch (error) {
      if (run.abort.signal.aborted) throw error;
      if (late.signal.aborted) throw tookTooLong(proveMaxMs);
      if (BackupError.from(error).code === 'S3_ARCHIVED') return 'archived';
      if (await this.#isThere(target, backup.name)) throw error;
      return 'gone';
    } finally {
      clearTimeout(timer);
      // A job that was killed leaves what it restored.
      rmSync(staging, { recursive: true, force: true });
    }
  }

  /** True as well where nobody could look: then the first error stands. */
  async #isThere(target: TargetName, name: string): Promise<boolean> {
    try {
      return (await this.#options.backups.at(target)).some((backup) => backup.name === name);
    } catch {
      return true;
    }
  }

  async #source(backup: KnownBackup, { target, identities, allowPlain }: DrilledFrom): Promise<DrillRequest['from']> {
    const { backups } = this.#options;
    if (backup.fault || !backup.manifest) {
      throw new BackupError('BAD_BACKUP', `${backup.name}: ${backup.fault ?? 'its manifest is missing'}`, {
        hint: 'It can not be relied on. Make a new backup, and see what happened to this one.',
      });
    }
    const { sha256, sizeBytes } = backup.manifest.database;
    if (target !== 'local') {
      const offsite = backups.requireOffsite(target);
      return { target, ...offsite.access, identities, sizeBytes, refusePlain: offsite.isSealed && !allowPlain };
    }
    return { target: 'local', path: await backups.path(backup), sizeBytes, sha256 };
  }

  async #note(backup: KnownBackup, complaint: string | null, remarks?: Remarks): Promise<void> {
    try {
      await this.#options.onJudged(backup, complaint, remarks);
    } catch (error) {
      const place = where(isHere(backup) ? 'local' : backup.target);
      this.#options.log(
        'warn',
        `What the drill found of ${backup.name} ${place} was not noted: ${BackupError.from(error).message}`,
      );
    }
  }
}

function placeOf(target: TargetName): keyof typeof weights {
  return target === 'local' ? 'local' : 'remote';
}

function where(target: TargetName): string {
  return target === 'local' ? 'in the folder' : `on ${targetWord(target)}`;
}

function tookTooLong(proveMaxMs: number): BackupError {
  return new BackupError('DRILL_FAILED', `the assertions took longer than ${proveMaxMs / 1_000} s and were ended`, {
    hint: 'Simplify the statements of BACKUP_DRILL_SQL, or give their tables an index; the backup itself was sound.',
  });
}

function allArchived({ name }: KnownBackup, target: TargetName): BackupError {
  return new BackupError(
    'S3_ARCHIVED',
    `${name} ${where(target)} lies in an archive class, and so do those before it`,
    {
      hint: 'A restore from there takes hours. Let the rule of the bucket leave the newest backups where they can be read.',
    },
  );
}

function removedUnder({ name }: KnownBackup): BackupError {
  return new BackupError('GONE', `${name} was removed while the drill read it, as the one before`, {
    hint: 'Backups are removed faster than one is restored. Keep more of them, and try again.',
  });
}

function toDrill(target: TargetName, run: Run): TargetDrill {
  const proof = run.drill?.proof ?? null;
  const ended = proof === 'restored' ? 'proven' : (proof ?? 'failed');
  return {
    target,
    result: run.result === 'stopped' ? 'stopped' : ended,
    backup: run.backup,
    sizeBytes: run.sizeBytes,
    ms: msOf(run),
    assertions: run.drill?.assertions ?? 0,
    ...(run.drill?.remarks && { remarks: run.drill.remarks }),
    error: run.error,
  };
}

function msOf({ startedAt, endedAt }: Run): number {
  return Math.max(0, endedAt.getTime() - startedAt.getTime());
}
