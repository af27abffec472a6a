/** The rooms of one service: each is given the context and the rooms below it. */
import { resolve } from 'node:path';
import { isPath } from '../engine/stories/assertions.ts';
import { BackupError } from '../words/errors.ts';
import { Arrivals } from './backups/arrivals.ts';
import { Backups } from './backups/backups.ts';
import { Changes } from './backups/changes.ts';
import { Removals } from './backups/removals.ts';
import { Verifications } from './backups/verifications.ts';
import { ServiceContext } from './context.ts';
import { Continuous } from './continuous/continuous.ts';
import { Streams } from './continuous/streams.ts';
import { MakeBackup } from './backups/make-backup.ts';
import type { BackupConfig } from './state/backup-config.ts';
import { Rescues } from './inside/rescues.ts';
import { LookAtAll } from './protection/look-at-all.ts';
import { Losses } from './protection/losses.ts';
import { Retention } from './protection/retention.ts';
import { Drills } from './restores/drills.ts';
import { FirstBoots } from './restores/first-boot.ts';
import { Restores } from './restores/restores.ts';
import { BackupSchedule } from './runs/backup-schedule.ts';
import { Rhythm } from './runs/rhythm.ts';
import type { BackupServiceOptions } from './service-options.ts';
import { changeSettings, type SettingsChange } from './state/change-settings.ts';
import { Claims } from './targets/claims.ts';
import { RemoteTargets } from './targets/remote-targets.ts';

export type Rooms = ReturnType<typeof openRooms>;

/** @throws BackupError BAD_CONFIG for targets, or paths, that cannot be told apart. */
export function openRooms(options: BackupServiceOptions) {
  const context: ServiceContext = new ServiceContext(options, () => targets.all);
  const sql = options.drills?.sql ?? null;
  const assertions = sql !== null && isPath(sql) ? resolve(sql) : sql;
  const continuous: Continuous = new Continuous(context, () => targets);
  const rhythm = new Rhythm(context);
  const retention = new Retention(context, rhythm);
  const claims = new Claims(context);
  const removals = new Removals(context, () => targets.all);
  const targets: RemoteTargets = new RemoteTargets(context, {
    ...{ rhythm, retention },
    takeId: (id) => claims.takeId(id, null),
    onGone: (name, why) => removals.noteIfGone(name, why),
    onChange: () => {
      context.emit({ type: 'backups' });
      context.emit({ type: 'status' });
      void losses.listed();
    },
  });
  const streams = new Streams(context, { continuous, targets });
  const backups = new Backups(context, targets);
  const verifications = new Verifications(context, { backups, claims });
  const arrivals = new Arrivals(context, { backups, claims, retention });
  const restores = new Restores(context, { backups, streams, retention, targets });
  const rescues = new Rescues(context, { backups, continuous, retention, targets });
  const drills = new Drills(context, { backups, streams, targets, verifications, assertions });
  const firstBoots = new FirstBoots(context, { backups, streams, targets });
  const onDelete = (filename: string) => losses.passOn(filename);
  const changes = new Changes(context, { backups, targets, removals, onDelete });
  const ignore = (tables: readonly string[]) => void updateConfig({ lossIgnore: tables });
  const losses: Losses = new Losses(context, { backups, changes, restores, targets, ignore });
  const makeBackup = new MakeBackup(context, { backups, continuous, losses, removals, retention, targets });
  const scheduled = { backups, drills, makeBackup, retention, rhythm, targets, verifications };
  const schedule = new BackupSchedule(context, scheduled);
  const look = new LookAtAll(context, { backups, continuous, losses, restores, retention, rhythm, schedule, targets });

  function updateConfig(change: SettingsChange): BackupConfig {
    const { s3 } = context.targets;
    return changeSettings(context, claims, change, (before, after) => {
      // A bucket of the page is out of its conflict.
      if (!s3 && context.targets.s3) {
        targets.targetsChanged().catch((error: unknown) => {
          context.log('error', `S3 could not be taken into use: ${BackupError.from(error).message}.`);
        });
      }
      if (!context.isStarted) return;
      schedule.settingsChanged(before, after);
      targets.settingsChanged(before, after);
      void continuous.targetsChanged();
    });
  }

  return {
    ...{ context, assertions, continuous, streams, rhythm, retention, claims, removals, targets, backups },
    ...{ verifications, restores, rescues, drills },
    ...{ arrivals, firstBoots, changes, losses, makeBackup, schedule, look, updateConfig },
  };
}
