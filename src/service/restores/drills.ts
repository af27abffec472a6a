/**
 * Drills: the newest backup of each target, and where commits are captured a random moment, is restored to a hidden place,
 * judged and removed, once a day while the schedule runs and whenever somebody asks. They go on beside the line of runs and
 * hold up no backup.
 *
 * A drill is a check too: damage that it finds is noted at that copy, as `verify` does.
 */
import { parseIdentities } from '../../engine/format/age.ts';
import { BackupError, says } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { Remarks } from '../../engine/sqlite/rules.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import { isHere, type KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { Verifications } from '../backups/verifications.ts';
import type { Streams } from '../continuous/streams.ts';
import { MomentDrills } from './moment-drills.ts';
import type { ServiceContext } from '../context.ts';
import type { DrillAsked } from '../service-port.ts';
import { type DrillReport, msOf, type TargetDrill, toDrill } from './drill-report.ts';
import { Rehearsal, where } from './rehearsal.ts';
import type { Run, RunProgress } from '../../words/run.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { Drilled } from '../../engine/stories/drill.ts';

interface DrillsParts {
  readonly backups: Backups;
  readonly streams: Streams;
  readonly targets: RemoteTargets;
  readonly verifications: Verifications;
  /** One SQL statement, or the path of a file with several; null for none. */
  readonly assertions: string | null;
}

type EachAsked = DrillAsked & {
  /** Streams of which a moment is drilled. */
  readonly moments: readonly TargetName[];
};

type Listener = (run: RunProgress) => void;

const EVERY_MS = 24 * 3_600_000;
/** An app that has just started has other things to do. */
const FIRST_AFTER_MS = 10 * 60_000;
/** When there was nothing to drill, or nobody could look. */
const RETRY_MS = 3_600_000;

/** How many more are tried if the check of one was given up, which has cost all that it may. */
const GAVE_UP_MAX = 2;

const weights = { local: { fetch: 30, check: 65, prove: 5 }, remote: { fetch: 60, check: 35, prove: 5 } };

export class Drills {
  readonly #context: ServiceContext;
  readonly #parts: DrillsParts;
  readonly #rehearsal: Rehearsal;
  readonly #moments: MomentDrills;
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
    this.#rehearsal = new Rehearsal(context, parts);
    this.#moments = new MomentDrills(context, parts);
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
    const { history } = this.#context.state;
    const due = this.#targets().filter((target) => isDue(history.lastDrill(target), nowMs));
    const moments = this.#streams().filter((target) => isDue(history.lastDrill(target, undefined, 'moments'), nowMs));
    if (due.length === 0 && moments.length === 0) return;
    this.#notBeforeMs = nowMs + RETRY_MS;
    void this.#drillEach(due, { trigger: 'schedule', moments }).catch((error: unknown) =>
      this.#context.log('error', `The drill could not be run: ${BackupError.from(error).message}`),
    );
  }

  /** @throws BackupError BAD_REQUEST for a target that is not configured, and for a text that is no identity. */
  async run(asked: DrillAsked = {}): Promise<DrillReport> {
    if (asked.target !== undefined && asked.target !== 'local') this.#parts.backups.requireRemote(asked.target);
    const identities = asked.identity === undefined ? [] : parseIdentities(asked.identity);
    const targets = asked.at !== undefined ? [] : asked.target ? [asked.target] : this.#targets();
    const streams = this.#streams().filter((target) => asked.target === undefined || target === asked.target);
    const moments = asked.at === undefined ? streams : [asked.target ?? 'local'];
    const drills = await this.#drillEach(targets, { ...asked, moments }, identities);
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

  /** Streams of which a moment is drilled: the one here, and its copies. */
  #streams(): readonly TargetName[] {
    return this.#moments.isOn ? this.#targets() : [];
  }

  /** One after the other: each needs room for a whole database. */
  async #drillEach(
    targets: readonly TargetName[],
    asked: EachAsked,
    identities: readonly string[] = [],
  ): Promise<readonly TargetDrill[]> {
    const going = this.#oneByOne(targets, asked, identities);
    this.#going.add(going);
    return await going.finally(() => this.#going.delete(going));
  }

  async #oneByOne(
    targets: readonly TargetName[],
    asked: EachAsked,
    identities: readonly string[],
  ): Promise<readonly TargetDrill[]> {
    const drills: TargetDrill[] = [];
    for (const target of targets) {
      const tried = new Set<string>();
      const without = new Set(asked.without);
      for (;;) {
        const drill = await this.#join(target, asked, identities, new Set([...without, ...tried]));
        drills.push(drill);
        if (drill.result === 'stopped') return drills;
        // Nothing is known of that backup; the one before it is what a restore would fall back to.
        const { backup, error } = drill;
        if (error?.code !== 'CHECK_GAVE_UP' || backup === null || tried.size >= GAVE_UP_MAX) break;
        tried.add(backup);
        const next = { allowPlain: asked.allowPlain ?? false, without: new Set([...without, ...tried]) };
        if ((await this.#rehearsal.newest(target, next)).backup === null) break;
      }
    }
    for (const target of asked.moments) {
      const ofMoment = await this.#moments.drill({ ...asked, target }, (run) => this.#track(run));
      if (ofMoment) drills.push(ofMoment);
      if (ofMoment?.result === 'stopped') break;
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
    const first = await this.#rehearsal.newest(target, { allowPlain, without });
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
        using _run = this.#track(run);
        const onTried = (tried: KnownBackup | null) => {
          backup = tried;
          run.note({ backup: tried?.name ?? null });
        };
        const drilled = await this.#rehearsal.rehearseNewest(run, first, { ...drilledFrom, onTried });
        const { proof, sizeBytes, assertions } = drilled;
        const remarks = remarkTexts(drilled);
        run.note({ sizeBytes, drill: { target, proof, assertions, ...(remarks.length > 0 && { remarks }) } });
        return drilled;
      },
    );
    if (settled.error) this.#sayFailed(target, settled.error);
    else this.#sayProven(target, settled.report, settled.result);
    if (backup && !settled.error && settled.result.proof === 'restored') await this.#note(backup, null, settled.result);
    if (backup && settled.error?.code === 'VERIFY_FAILED') await this.#note(backup, settled.error.message);
    return toDrill(target, settled.report);
  }

  /** So that `stop` ends it. */
  #track(run: ActiveRun): Disposable {
    this.#runs.add(run);
    if (this.#stopping) run.abort.abort();
    return { [Symbol.dispose]: () => void this.#runs.delete(run) };
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

function isDue(last: Run | null, nowMs: number): boolean {
  // One of the future was before the clock went back.
  return last === null || Math.abs(nowMs - last.endedAt.getTime()) >= EVERY_MS;
}

function placeOf(target: TargetName): keyof typeof weights {
  return target === 'local' ? 'local' : 'remote';
}
