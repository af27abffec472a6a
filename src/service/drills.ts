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
import type { JobOptions } from '../engine/jobs/run-job.ts';
import type { ActiveRun } from './active-run.ts';
import { isHere, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { Log } from './log.ts';
import type { DrillReport, Run, RunProgress, TargetDrill, TargetName } from './model.ts';
import { targetWord } from './remote-targets.ts';
import type { RunHistory } from './run-history.ts';
import type { Runs } from './runs.ts';

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
  readonly job: (request: DrillRequest, options: Omit<JobOptions, 'environment'>) => Promise<Drilled>;
  /** The check of a copy that was opened: null when it passed. */
  readonly onJudged: (backup: KnownBackup, complaint: string | null) => Promise<unknown>;
  readonly log: Log;
  readonly now: () => Date;
}

export interface DrillAsked {
  /** Left out: each that is on. */
  readonly target?: TargetName;
  /** The text of an identity file of age, with the private key that opens an encrypted copy. */
  readonly identity?: string;
  readonly user?: string;
  readonly trigger?: 'manual' | 'cli' | 'schedule';
  readonly onProgress?: (run: RunProgress) => void;
}

const EVERY_MS = 24 * 3_600_000;
/** An app that has just started has other things to do. */
const FIRST_AFTER_MS = 10 * 60_000;
/** When there was nothing to drill, or nobody could look. */
const RETRY_MS = 3_600_000;

/**
 * Nobody asked, and nothing was learned: another process drills, there is no backup yet, S3 is away for a while (what
 * waits for it says so). It is tried again in an hour.
 */
const saysNothing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['BUSY', 'NO_BACKUP', 'S3_UNREACHABLE']);

const weights = { local: { fetch: 30, check: 65, prove: 5 }, remote: { fetch: 60, check: 35, prove: 5 } };

export class Drills {
  readonly #options: DrillsOptions;
  readonly #going = new Set<Promise<unknown>>();
  readonly #runs = new Set<ActiveRun>();
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
      const drill = await this.#drill(target, asked, identities);
      drills.push(drill);
      if (drill.result === 'stopped') break;
    }
    return drills;
  }

  async #drill(target: TargetName, asked: DrillAsked, identities: readonly string[]): Promise<TargetDrill> {
    const { runs, log } = this.#options;
    const { backup, obstacle } = await this.#newest(target);
    const { trigger = 'manual', user = null } = asked;
    const name = backup?.name ?? null;
    const run = runs.begin({ kind: 'drill', trigger, user, backup: name, weights: weights[placeOf(target)] });
    run.listen(asked.onProgress);
    this.#runs.add(run);
    if (this.#stopping) run.abort.abort();
    try {
      if (!backup) throw obstacle;
      const { proof, sizeBytes, assertions } = await this.#rehearse(run, backup, target, identities);
      const report = run.end({
        ...{ result: 'success', backup: name, sizeBytes },
        drill: { target, proof, assertions },
      });
      runs.record(report);
      const took = `${(msOf(report) / 1_000).toFixed(1)} s`;
      log(
        'info',
        proof === 'restored'
          ? `Drill: ${name} (${target}) was restored and proven in ${took}.`
          : `Drill: ${name} (${target}) is what was stored; its content was not opened, because the private key is not here.`,
      );
      if (proof === 'restored') await this.#note(backup, null);
      return toDrill(target, report);
    } catch (error) {
      const known = BackupError.from(error);
      const result = known.code === 'ABORTED' ? 'stopped' : 'failed';
      const report = run.end({ result, backup: name, error: known, drill: { target, proof: null, assertions: 0 } });
      if (trigger === 'schedule' && saysNothing.has(known.code)) return toDrill(target, report);
      runs.record(report);
      if (result === 'failed') log('error', `Drill failed (${target}): ${known.message}. ${known.hint}`);
      if (backup && known.code === 'VERIFY_FAILED') await this.#note(backup, known.message);
      return toDrill(target, report);
    } finally {
      this.#runs.delete(run);
    }
  }

  async #newest(
    target: TargetName,
  ): Promise<
    | { readonly backup: KnownBackup; readonly obstacle: null }
    | { readonly backup: null; readonly obstacle: BackupError }
  > {
    try {
      const all = await this.#options.backups.at(target);
      // What nobody made a manifest of is not ours; a safety backup holds what a restore replaced.
      const backup = all.find(({ manifest, fault }) => fault ?? (manifest && manifest.trigger !== 'safety'));
      if (backup) return { backup, obstacle: null };
      throw new BackupError('NO_BACKUP', `there is no backup ${where(target)}`, {
        hint: 'Make one: velist-backup backup.',
      });
    } catch (error) {
      return { backup: null, obstacle: BackupError.from(error) };
    }
  }

  async #rehearse(
    run: ActiveRun,
    backup: KnownBackup,
    target: TargetName,
    identities: readonly string[],
  ): Promise<Drilled> {
    const { runs, folder, assertions, lockWaitMs, job } = this.#options;
    const staging = join(folder, `${DRILL_FOLDER}${randomUUID()}`);
    const from = await this.#source(backup, target, identities);
    const request: DrillRequest = { kind: 'drill', name: backup.name, from, staging, assertions, lockWaitMs };
    try {
      return await runs.fetching(run, (given) => job(request, given), 'all steps');
    } finally {
      // A job that was killed leaves what it restored.
      rmSync(staging, { recursive: true, force: true });
    }
  }

  async #source(backup: KnownBackup, target: TargetName, identities: readonly string[]): Promise<DrillRequest['from']> {
    const { backups } = this.#options;
    if (backup.fault || !backup.manifest) {
      throw new BackupError('BAD_BACKUP', `${backup.name}: ${backup.fault ?? 'its manifest is missing'}`, {
        hint: 'It can not be relied on. Make a new backup, and see what happened to this one.',
      });
    }
    if (target !== 'local') return { target, ...backups.requireOffsite(target).access, identities };
    const { sha256, sizeBytes } = backup.manifest.database;
    return { target: 'local', path: await backups.path(backup), sizeBytes, sha256 };
  }

  async #note(backup: KnownBackup, complaint: string | null): Promise<void> {
    try {
      await this.#options.onJudged(backup, complaint);
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
    error: run.error,
  };
}

function msOf({ startedAt, endedAt }: Run): number {
  return endedAt.getTime() - startedAt.getTime();
}
