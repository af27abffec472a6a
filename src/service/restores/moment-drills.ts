/**
 * Drills of captured moments: a random one is brought back to a hidden place once a day, so that a fault of the stream is
 * found before anybody restores. Moments of all granularities are drawn, and not always the newest.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DRILL_FOLDER } from '../../engine/format/names.ts';
import type { DrillMomentRequest } from '../../engine/stories/drill-moment.ts';
import type { Drilled } from '../../engine/stories/drill.ts';
import { BackupError, type ErrorBody, says } from '../../words/errors.ts';
import type { ServiceContext } from '../context.ts';
import type { CapturedMoment } from '../continuous/moment-source.ts';
import type { Streams } from '../continuous/streams.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import type { JobAsked } from '../runs/jobs.ts';
import type { DrillAsked } from '../service-port.ts';
import { msOf, type TargetDrill, toDrill } from './drill-report.ts';
import { findMoment } from './find-restore-point.ts';
import { ProofClock } from './proof-clock.ts';

interface MomentDrillsParts {
  readonly streams: Streams;
  /**
   * One SQL statement, or the path of a file with several; null for none. They are said of the newest state, so only a moment
   * that somebody names is asked.
   */
  readonly assertions: string | null;
}

type MomentAsked = Pick<DrillAsked, 'at' | 'trigger' | 'user' | 'onProgress' | 'identity' | 'allowPlain'> & {
  readonly target: TargetName;
};

const weights = { fetch: 40, check: 55, prove: 5 };

export class MomentDrills {
  readonly #context: ServiceContext;
  readonly #parts: MomentDrillsParts;

  constructor(context: ServiceContext, parts: MomentDrillsParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Commits are captured, so there is something to drill. */
  get isOn(): boolean {
    const { here } = this.#parts.streams;
    return here.hasStream && here.status() !== null;
  }

  /**
   * Null where one was to be drawn and the stream holds none yet.
   *
   * @param onRun gets the run while it lasts, to stop it.
   */
  async drill(asked: MomentAsked, onRun: (run: ActiveRun) => Disposable): Promise<TargetDrill | null> {
    const { runs, log } = this.#context;
    const { target, trigger = 'manual', user = null, onProgress } = asked;
    // Set in a story that the compiler does not follow.
    let moment = null as CapturedMoment | null;
    const isNothing = (error: ErrorBody | null) => error?.code === 'NO_MOMENT' && asked.at === undefined;
    const about = () => ({ target, moment: moment?.at.toISOString() ?? null });
    const settled = await runs.settle(
      {
        ...({ kind: 'drill', trigger, user, backup: null, weights, onProgress } as const),
        // Anything else proves nothing against the stream, and the schedule tries again.
        isRecorded: ({ error }) =>
          error === null || says(error.code, 'drill-verdict') || (trigger !== 'schedule' && !isNothing(error)),
        onFailed: (error, run) => {
          if (says(error.code, 'drill-verdict')) run.note({ drill: { ...about(), proof: null, assertions: 0 } });
          return error;
        },
      },
      async (run) => {
        using _run = onRun(run);
        moment = await this.#choose(asked, run);
        run.note({ backup: moment.bookmark });
        const drilled = await this.#rehearse(moment.bookmark, asked, run);
        const { proof, sizeBytes, assertions } = drilled;
        const remarks = remarkTexts(drilled);
        run.note({ sizeBytes, drill: { ...about(), proof, assertions, ...(remarks.length > 0 && { remarks }) } });
        return drilled;
      },
    );
    const { report, error } = settled;
    if (isNothing(error)) return null;
    const place = target === 'local' ? '' : ` on ${targetWord(target)}`;
    const name = (report.backup === null ? 'a captured moment' : `the moment ${report.backup}`) + place;
    if (error === null)
      log('info', `Drill: ${name} was restored and proven in ${(msOf(report) / 1_000).toFixed(1)} s.`);
    else if (says(error.code, 'drill-verdict'))
      log('error', `Drill of ${name} failed: ${error.message}. ${error.hint}`);
    else if (error.code !== 'ABORTED')
      log('warn', `The drill of ${name} could not be made: ${error.message}. ${error.hint}`);
    return { ...toDrill(target, report), moment: moment?.at ?? null };
  }

  async #choose({ at, target, ...opened }: MomentAsked, run: ActiveRun): Promise<CapturedMoment> {
    const { jobs, now } = this.#context;
    const { streams } = this.#parts;
    if (at !== undefined) return await findMoment(at, streams.at(target), now());
    const dice = [Math.random(), Math.random()] as const;
    const given = { signal: run.signal };
    const picked =
      target === 'local'
        ? await jobs.run<'pick-moment'>({ kind: 'pick-moment', folder: streams.here.folder, dice }, given)
        : await jobs.run<'pick-remote-moment'>(
            { kind: 'pick-remote-moment', place: streams.atTarget(target).place(opened), dice },
            given,
          );
    return { bookmark: picked.bookmark, at: new Date(picked.at) };
  }

  async #rehearse(bookmark: string, asked: MomentAsked, run: ActiveRun): Promise<Drilled> {
    const { runs, folder, waits } = this.#context;
    const staging = join(folder.path, `${DRILL_FOLDER}${randomUUID()}`);
    const assertions = asked.at === undefined ? null : this.#parts.assertions;
    const drill = this.#drillOf({ bookmark, staging, assertions, lockWaitMs: waits.lockMs }, asked);
    using clock = new ProofClock(waits.proveMs);
    try {
      const drilling = (given: JobAsked) => drill(clock.around({ ...given, signal: given.signal ?? run.signal }));
      return await runs.fetching(run, drilling, 'all steps');
    } catch (error) {
      if (!run.abort.signal.aborted) clock.throwIfLate();
      throw BackupError.from(error);
    } finally {
      // A job that was killed leaves what it restored.
      rmSync(staging, { recursive: true, force: true });
    }
  }

  #drillOf(
    request: Omit<DrillMomentRequest, 'kind' | 'folder'>,
    { target, ...opened }: MomentAsked,
  ): (given: JobAsked) => Promise<Drilled> {
    const { jobs } = this.#context;
    const { streams } = this.#parts;
    if (target === 'local') {
      const { folder } = streams.here;
      return (given) => jobs.run<'drill-moment'>({ kind: 'drill-moment', folder, ...request }, given);
    }
    const place = streams.atTarget(target).place(opened);
    return (given) => jobs.run<'drill-remote-moment'>({ kind: 'drill-remote-moment', place, ...request }, given);
  }
}
