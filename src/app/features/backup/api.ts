/** The backup routes and page for the app's own Elysia server: `app.use(backupApi({ authorize }))`. */
import { backupRoutes } from '../../../http/elysia.ts';
import { backupService } from './service.ts';

type Options = Parameters<typeof backupRoutes>[1];

export function backupApi(options: Options) {
  return backupRoutes(backupService, options);
}
