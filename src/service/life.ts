/** How the rooms of a service begin together, and end. */
import { BackupError } from '../words/errors.ts';
import type { Notify } from './notify/notify.ts';
import type { Rooms } from './rooms.ts';
import { stopRun } from './runs/stop-run.ts';

/** @throws BackupError UNSUPPORTED on Windows. */
export function startRooms({ context, continuous, rescues, schedule, targets }: Rooms, notify: Notify): void {
  if (context.isStarted) return;
  if (process.platform === 'win32') {
    throw new BackupError('UNSUPPORTED', 'velist-backup does not support Windows yet', {
      hint: 'Run it on Linux or macOS, or in WSL.',
    });
  }
  context.isStarted = true;
  notify.start();
  schedule.start();
  targets.start();
  continuous.start();
  rescues.resume();
}

/** Asks what is running to stop, and resolves when it has ended. */
export async function stopRooms(rooms: Rooms, notify: Notify): Promise<void> {
  const { context, continuous, schedule, firstBoots, drills, targets } = rooms;
  context.isStarted = false;
  context.isStopping = true;
  try {
    schedule.end();
    firstBoots.stop();
    const shipped = continuous.stop();
    const ended = [
      ...[stopRun(context), context.jobs.stop(), drills.stop()],
      ...[schedule.idle(), targets.stop(shipped), shipped],
    ];
    await Promise.all(ended);
    await context.runs.idle();
  } finally {
    await notify.stop();
    context.isStopping = false;
  }
}
