/**
 * Everything that the status and the activity chart tell, gathered from the folder, the targets, the history and the
 * schedule. What it means is decided in `status.ts` and `activity.ts`, which ask nobody.
 */
import { diskRoom } from '../../engine/disk/share.ts';
import { changedAt, type DatabaseStamp, stampDatabase } from '../../engine/sqlite/stamp.ts';
import { oneOfEach, type PlannedPlace } from '../../engine/restore-points/plan.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { hereOf, type KnownBackup, ownOf } from '../backups/backup-item.ts';
import { type Backups, namesOf } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { Continuous } from '../continuous/continuous.ts';
import type { Status } from './shown-status.ts';
import { type Activity, type ActivityRange, composeActivity } from '../runs/activity.ts';
import type { RunProgress } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { Restores } from '../restores/restores.ts';
import type { BackupSchedule } from '../runs/backup-schedule.ts';
import type { Rhythm } from '../runs/rhythm.ts';
import type { RunFilter } from '../state/run-history.ts';
import { composePlaces, toPlaceStatus } from '../targets/place-status.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { failedChecks } from './failed-checks.ts';
import type { Losses } from './losses.ts';
import { isMissing } from './missing.ts';
import type { Retention } from './retention.ts';
import { composeStatus } from './status.ts';

interface LookParts {
  readonly backups: Backups;
  readonly continuous: Continuous;
  readonly losses: Losses;
  readonly restores: Restores;
  readonly retention: Retention;
  readonly rhythm: Rhythm;
  readonly schedule: BackupSchedule;
  readonly targets: RemoteTargets;
}

/** How far back each range of the activity chart looks. */
const LONGEST_ACTIVITY_MS = { '24h': 86_400_000, '7d': 7 * 86_400_000, '30d': 30 * 86_400_000 } as const;
/** One of these at least found the file. */
const RUNS_LOOKED_AT = 20;

export class LookAtAll {
  readonly #context: ServiceContext;
  readonly #parts: LookParts;

  constructor(context: ServiceContext, parts: LookParts) {
    this.#context = context;
    this.#parts = parts;
  }

  async status(): Promise<Status> {
    const { backups: known, continuous, losses, restores, retention, rhythm, schedule, targets } = this.#parts;
    const { now, settings, options, folder, database, catalog } = this.#context;
    // A folder that can't be listed is the news itself: page, health, metrics and webhooks have to tell it.
    let unlisted: ErrorBody | null = null;
    let places: readonly PlannedPlace<KnownBackup>[] = [];
    try {
      places = known.placesWith(await catalog.list());
    } catch (error) {
      unlisted = BackupError.from(error).toJSON();
    }
    const all = oneOfEach(places);
    const here = namesOf(hereOf(all));
    const backups = ownOf(all);
    const { lastRestore, runsOfBackups, ...ran } = this.#ran();
    const realPath = database.realPath();
    const stamp = this.#stamp(realPath);
    // What was found where the path leads is there.
    const isGone = (stamp === null || realPath !== database.path) && isMissing(database.path);
    return composeStatus({
      now: now(),
      settings: settings.current,
      backups,
      items: known.toItems(backups, here),
      database: this.#lookAtDatabase(isGone ? null : stamp),
      cron: options.cron ?? null,
      nextRunAt: schedule.nextRunAt,
      stalledSince: schedule.stalledSince,
      gapMinutes: rhythm.gapMinutes(),
      localPath: folder.named,
      disk: diskRoom(folder.path),
      retention: retention.ofFolder(),
      targets: targets.all.map((remote) => ({
        target: remote.target,
        enabled: remote.isEnabled,
        ...remote.shown,
        lifecycleDays: remote.lifecycleDays,
        ...remote.uploads.nextTry,
        listedAt: remote.known.listedAt,
      })),
      run: this.#shownRun(),
      lastRun: ran.lastRun,
      unlisted,
      wasBackedUp: ran.made !== null,
      isMissing: isGone,
      // A file that is back has.
      lastBackupRun: runsOfBackups.find(({ error }) => isGone || error?.code !== 'DB_MISSING') ?? null,
      lastUnchangedRun: ran.lastUnchangedRun,
      drills: (target) => this.#drilled(target),
      failedChecks: failedChecks(
        places.map(({ target, copies }) => ({
          ...{ target, copies },
          openDrill: this.#drilled(target).open,
          lastDrill: this.#drilled(target).last,
          moments: continuous.drilledMoments(target),
        })),
      ),
      shownRestore: restores.shownRestore(lastRestore),
      // The newest backup that was made here, if it is not in the folder and nobody is known to have removed it.
      vanished: ran.made && !ran.isRemoved && !here.has(ran.made) ? ran.made : null,
      isUploading: (name, target) => targets.isUploading(name, target),
      isBusyElsewhere: (target) => targets.all.some((one) => one.target === target && one.uploads.isBusyElsewhere()),
      undo: restores.undoable(backups, lastRestore),
      loss: losses.shown(backups),
      places: this.#places(all, { isListed: unlisted === null }),
      setBack: targets.setBack(),
      continuous: continuous.status(),
    });
  }

  async activity(range: ActivityRange): Promise<Activity> {
    const { backups: known, rhythm, schedule, targets } = this.#parts;
    const { settings, state } = this.#context;
    const now = this.#context.now();
    const from = new Date(now.getTime() - LONGEST_ACTIVITY_MS[range]);
    const backups = ownOf(await known.everywhere());
    const here = namesOf(hereOf(backups));
    const removed = state.history.removed(from);
    const run = this.#shownRun();
    return composeActivity({
      range,
      now,
      schedule: rhythm.schedule,
      isEnabled: settings.current.enabled,
      spans: schedule.history.since(from),
      runs: state.history.backupRunsSince(from),
      firstPlannedAt: state.history.firstPlannedAt(),
      runningSince: run?.kind === 'backup' ? run.startedAt : null,
      backups: known.toItems(backups, here),
      removal: (name) => {
        const removal = removed.get(name);
        return removal ? `Removed ${removal.why}.` : null;
      },
      isUploading: (name, target) => targets.isUploading(name, target),
    });
  }

  /** Ours, or the one of another process over the same folder. */
  #shownRun(): RunProgress | null {
    const { runs, places, others } = this.#context;
    // In a folder of another database the runs of others are that one's.
    return runs.shown?.progress() ?? (places.isForeign ? null : others.run);
  }

  #places(all: readonly KnownBackup[], { isListed }: { readonly isListed: boolean }): Status['places'] {
    const { places } = this.#context;
    const { self } = places;
    const here = hereOf(all);
    const ownFacts = ownOf(all).find(({ manifest }) => manifest?.facts)?.manifest?.facts;
    const remote = this.#parts.targets.enabled;
    const looks = [
      { target: 'local', backups: here, ...places.folder(here), ...(!isListed && { identity: null }) },
      ...remote.map(({ target, ownership, known, backups }) => ({
        ...{ target, ownership, identity: known.identity },
        // They are asked for only of a place that is another database's.
        backups: ownership.stranger
          ? backups.map((backup) => ({ ...backup, other: ownership.stranger ?? undefined }))
          : [],
      })),
    ];
    return composePlaces(
      looks.map((look) => toPlaceStatus({ ...look, self, ownFacts })),
      new Map(remote.map(({ target, writing }) => [target, writing.status])),
    );
  }

  #ran() {
    const { history } = this.#context.state;
    return history.hold('look', () => {
      const newest = (filter: RunFilter) => history.list({ limit: 1, ...filter })[0] ?? null;
      const made = newest({ kind: 'backup', result: 'success' })?.backup ?? null;
      return {
        lastRestore: this.#parts.restores.lastRestore(),
        // A run that was stopped by hand, or a wrong call, has not mended what failed before.
        runsOfBackups: history.list({ limit: RUNS_LOOKED_AT, kind: 'backup', telling: true }),
        lastRun: newest({ except: 'upload' }),
        lastUnchangedRun: newest({ kind: 'backup', result: 'unchanged' }),
        made,
        isRemoved: made !== null && history.removal(made) !== null,
      };
    });
  }

  #drilled(target: TargetName) {
    const { history } = this.#context.state;
    return history.hold(`drills ${target}`, () => ({
      last: history.lastDrill(target),
      proven: history.lastDrill(target, 'restored'),
      open: history.openDrill(target),
    }));
  }

  #lookAtDatabase(stamp: DatabaseStamp | null): Omit<Status['database'], 'growthBytes'> {
    const { database } = this.#context;
    const base = { name: database.name, path: database.named };
    if (stamp === null) return { ...base, exists: false, sizeBytes: 0, logBytes: 0, changedAt: null };
    const logBytes = stamp.wal?.sizeBytes ?? 0;
    const sizeBytes = stamp.main.sizeBytes + logBytes;
    return { ...base, exists: true, sizeBytes, logBytes, changedAt: changedAt(stamp) };
  }

  #stamp(realPath: string): DatabaseStamp | null {
    const { database, now } = this.#context;
    try {
      return stampDatabase(database.path, { nowMs: now().getTime(), realPath });
    } catch {
      // Gone in this moment, or nobody may look: the run that fails for it says what is wrong.
      return null;
    }
  }
}
