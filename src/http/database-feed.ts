/**
 * What happens in the service of one database: first a `status`, then `status`, `progress`, `run` and `backups` (the list
 * changed, fetch it). A client that comes back needs no history: the first `status` is the whole truth.
 */
import type { ServiceEvent } from '../service/model.ts';
import type { Outlet } from './events.ts';
import { serialize } from './serialize.ts';
import type { ServedDatabase } from './served-database.ts';

export function databaseFeed(database: ServedDatabase): (outlet: Outlet) => readonly (() => void)[] {
  const { service } = database;
  return (outlet) => {
    let statusWaits = false;
    const tellBackups = () => outlet.queue(() => outlet.send('backups', {}));
    const tellStatus = () => {
      if (statusWaits) return;
      statusWaits = true;
      outlet.queue(async () => {
        statusWaits = false;
        outlet.send('status', serialize(await service.getStatus()));
      });
    };
    const tell = (event: ServiceEvent) => {
      if (event.type === 'status') tellStatus();
      if (event.type === 'backups') tellBackups();
      if (event.type === 'progress') outlet.queue(() => outlet.send('progress', serialize(event.run)));
      if (event.type !== 'run') return;
      outlet.queue(() => outlet.send('run', serialize(event.run)));
      tellBackups();
      tellStatus();
    };
    const endings = [service.on(tell), database.onBackupsChanged(tellBackups)];
    tellStatus();
    return endings;
  };
}
