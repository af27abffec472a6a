/**
 * Drills: the newest backup of each target is restored to a hidden place, judged and removed, once a day while the
 * schedule runs and whenever somebody asks. They go on beside the line of runs and hold up no backup.
 *
 * A drill is a check too: damage that it finds is noted at that copy, as `verify` does.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseIdentities } from '../../engine/format/age.ts';
import { DRILL_FOLDER } from '../../engine/format/names.ts';
import { BackupError, says } from '../../words/errors.ts';
import { targetWord } from '../../words/target-word.ts';
import { planRestore } from '../../engine/restore-points/plan.ts';
import type { Remarks } from '../../engine/sqlite/rules.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import { isHere, type KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { Verifications } from '../backups/verifications.ts';
import type { ServiceContext } from '../context.ts';
import type { DrillAsked } from '../service-port.ts';
import type { DrillReport, Run, RunProgress, TargetDrill, TargetName } from '../model.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import type { JobAsked } from '../runs/jobs.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { DrillRequest, Drilled } from '../../engine/stories/drill.ts';

export interface DrillsParts {
  readonly backups: Backups;
  readonly targets: RemoteTargets;
  readonly verifications: Verifications;
  /** One SQL statement, or the path of a file with several; null for none. */
  readonly assertions: string | null;
}

type Listener = (run: RunProgress) => void;

interface DrilledFrom extends Required<Pick<DrillAsked, 'target' | 'allowPlain'>> {
  readonly identities: readonly string[];
}

type Newest =
  { readonly backup: KnownBackup; readonly obstacle: null } | { readonly backup: null; readonly obstacle: BackupError };

const EVERY_MS = 24 * 3_600_000;
/** An app that has just started has other things to do. */
const FIRST_AFTER_MS = 10 * 60_000;
/** When there was nothing to drill, or nobody could look. */
const RETRY_MS = 3_600_000;

/** A statement that never ends would hold its process, and the lock of drills, for ever. */
const PROVE_MAX_MS = 10 * 60_000;

/** How many more are tried if the check of one was given up, which has cost all that it may. */
const GAVE_UP_MAX = 2;

/** When this many in a row are archived, the others are taken to be so too. */
const ARCHIVED_MAX = 3;

const weights = { local: { fetch: 30, check: 65, prove: 5 }, remote: { fetch: 60, check: 35, prove: 5 } };

export class Drills {
  readonly #context: ServiceContext;
  readonly #parts: DrillsParts;
  readonly #going = new Set<Promise<unknown>>();
  readonly #runs = new Set<ActiveRun>();
  /** Concurrent requests for the same target and key share one drill. */
  readonly #shared = new Map<string, { readonly drill: Promise<TargetDrill>; readonly listeners: Listener[] }>();
  #notBeforeMs = 0;
  /** While `stop` waits: what begins now ends at once. */
  #stopping = false;

  constructor(context: ServiceContext, parts: DrillsParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** The schedule begins. */
  begin(): void {
    this.#notBeforeMs = this.#context.now().getTime() + FIRST_AFTER_MS;
  }

  /** At each tick of the schedule. */
  tick(): void {
    const { now, options } = this.#context;
    const nowMs = now().getTime();
    if (!options.drills?.scheduled || this.#going.size > 0 || nowMs < this.#notBeforeMs) return;
    const due = this.#targets().filter((target) => this.#isDue(target, nowMs));
    if (due.length === 0) return;
    this.#notBeforeMs = nowMs + RETRY_MS;
    void this.#drillEach(due, { trigger: 'schedule' }).catch((error: unknown) =>
      this.#context.log('error', `The drill could not be run: ${BackupError.from(error).message}`),
    );
  }

  /** @throws BackupError BAD_REQUEST for a target that is not configured, and for a text that is no identity. */
  async run(asked: DrillAsked = {}): Promise<DrillReport> {
    if (asked.target !== undefined && asked.target !== 'local') this.#parts.backups.requireOffsite(asked.target);
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
    return ['local', ...this.#parts.targets.enabled.map(({ target }) => target)];
  }

  #isDue(target: TargetName, nowMs: number): boolean {
    const last = this.#context.state.history.lastDrill(target);
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
    const { runs } = this.#context;
    const { trigger = 'manual', user = null, allowPlain = false } = asked;
    const first = await this.#newest(target, { allowPlain, without });
    let backup = first.backup;
    const drilledFrom = { target, identities, allowPlain, without };
    const settled = await runs.settle(
      {
        ...({ kind: 'drill', trigger, user } as const),
        ...{ backup: backup?.name ?? null, weights: weights[placeOf(target)], onProgress: asked.onProgress },
        // Anything else (another process drills, no room, the wrong private key, S3 away for a while) is an answer to whoever
        // asked and proves nothing against the backup: what was known before still counts, and the schedule tries again in
        // an hour. Nobody asked for that try, and it would be said each hour.
        isRecorded: ({ error }) => trigger !== 'schedule' || error === null || says(error.code, 'drill-verdict'),
        onFailed: (error, run) => {
          if (says(error.code, 'drill-verdict')) run.note({ drill: { target, proof: null, assertions: 0 } });
          return error;
        },
      },
      async (run) => {
        this.#runs.add(run);
        if (this.#stopping) run.abort.abort();
        const onTried = (tried: KnownBackup | null) => {
          backup = tried;
          run.note({ backup: tried?.name ?? null });
        };
        try {
          const drilled = await this.#rehearseNewest(run, first, { ...drilledFrom, onTried });
          const { proof, sizeBytes, assertions } = drilled;
          const remarks = remarkTexts(drilled);
          run.note({ sizeBytes, drill: { target, proof, assertions, ...(remarks.length > 0 && { remarks }) } });
          return drilled;
        } finally {
          this.#runs.delete(run);
        }
      },
    );
    if (settled.error) this.#sayFailed(target, settled.error);
    else this.#sayProven(target, settled.report, settled.result);
    if (backup && !settled.error && settled.result.proof === 'restored') await this.#note(backup, null, settled.result);
    if (backup && settled.error?.code === 'VERIFY_FAILED') await this.#note(backup, settled.error.message);
    return toDrill(target, settled.report);
  }

  #sayProven(target: TargetName, report: Run, drilled: Drilled): void {
    const took = `${(msOf(report) / 1_000).toFixed(1)} s`;
    const proven = `Drill: ${report.backup} (${target}) was restored and proven in ${took}`;
    this.#context.log(
      'info',
      drilled.proof === 'restored'
        ? [proven, ...remarkTexts(drilled), ''].join('. ').trim()
        : `Drill: ${report.backup} (${target}) is what was stored; its content was not opened, because the private key is not here.`,
    );
  }

  #sayFailed(target: TargetName, { code, message, hint }: BackupError): void {
    const text = `(${target}): ${message}. ${hint}`;
    if (says(code, 'drill-verdict')) this.#context.log('error', `Drill failed ${text}`);
    else if (code !== 'ABORTED' && code !== 'NO_BACKUP')
      this.#context.log('warn', `The drill could not be made ${text}`);
  }

  /** The newest one, or the one before if that is archived, or was removed meanwhile. */
  async #rehearseNewest(
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
        archived.size === 0 ? backup : (await this.#newest(target, { allowPlain, without: left })).backup;
      if (!next) break;
      backup = next;
      onTried(backup);
      drilled = await this.#rehearse(run, backup, asked);
      if (drilled !== 'archived') break;
    }
    if (drilled === 'archived') throw allArchived(backup, target);
    if (drilled === 'gone') {
      ({ backup, obstacle } = await this.#newest(target, { allowPlain, without }));
      onTried(backup);
      if (!backup) throw obstacle;
      drilled = await this.#rehearse(run, backup, asked);
    }
    if (drilled === 'gone' || drilled === 'archived') throw removedUnder(backup);
    return drilled;
  }

  /** @param options.without names of backups that can't be had at once. */
  async #newest(
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
    const proveMaxMs = waits.proveMs ?? PROVE_MAX_MS;
    const lockWaitMs = waits.lockMs;
    const staging = join(folder.path, `${DRILL_FOLDER}${randomUUID()}`);
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    try {
      const from = await this.#source(backup, asked);
      const request: DrillRequest = { kind: 'drill', name: backup.name, from, staging, assertions, lockWaitMs };
      const drilling = ({ signal = run.signal, onEvent }: JobAsked) =>
        jobs.run<'drill'>(request, {
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
      return (await this.#parts.backups.at(target)).some((backup) => backup.name === name);
    } catch {
      return true;
    }
  }

  async #source(backup: KnownBackup, { target, identities, allowPlain }: DrilledFrom): Promise<DrillRequest['from']> {
    const { backups } = this.#parts;
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
      await this.#parts.verifications.record(backup, 'full', complaint, { remarks });
    } catch (error) {
      const place = where(isHere(backup) ? 'local' : backup.target);
      this.#context.log(
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
