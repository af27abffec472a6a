/**
 * A service as a program of its own, for another user or beside a second one. Makes one backup, or with `runs` follows
 * its schedule until so many runs have ended; its runs are JSON on standard output.
 */
import { BackupService } from '../../src/service/backup-service.ts';
import { rmSync } from 'node:fs';
import type { Run } from '../../src/service/model.ts';
import { settingsWith } from '../support/settings.ts';

export interface ServiceForm {
  readonly databasePath: string;
  readonly backupsPath: string;
  readonly statePath: string;
  readonly waits: { readonly lockMs: number; readonly pinMs: number };
  /** The binary that runs this is removed first. */
  readonly removeRuntime?: boolean;
  readonly schedule?: { readonly intervalMs: number; readonly runs: number; readonly retentionCount: number };
}

const { schedule, removeRuntime, ...options }: ServiceForm = JSON.parse(process.argv[2] ?? '');
const service = new BackupService({
  ...options,
  settings: settingsWith(
    schedule && { intervalMinutes: schedule.intervalMs / 60_000, retentionCount: schedule.retentionCount },
  ),
  skipUnchanged: false,
  log: (level, message) => void (level === 'warn' && console.error(`warn: ${message}`)),
  jobEnvironment: { PATH: process.env['PATH'] ?? '' },
});
if (removeRuntime) rmSync(process.execPath);
if (schedule) console.log(JSON.stringify(await followSchedule(schedule.runs)));
else console.log(JSON.stringify(await service.performBackup()));
await service.close();

async function followSchedule(count: number): Promise<readonly Run[]> {
  const runs: Run[] = [];
  const { promise: allEnded, resolve } = Promise.withResolvers<void>();
  service.on((event) => {
    if (event.type === 'run' && !event.elsewhere && runs.push(event.run) === count) resolve();
  });
  service.start();
  // Timers of the schedule keep no process alive.
  const alive = setInterval(() => {}, 1_000);
  await allEnded;
  clearInterval(alive);
  await service.stop();
  return runs;
}
