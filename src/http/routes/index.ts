/**
 * The table of all routes, an area a file. What finds a route (`find-route.ts`), what it asks for (`resolve.ts`), the OpenAPI
 * document, the tests that walk over all of them and the types of the page's requests are derived from it.
 */
import { arrivalRoutes } from './arrivals.ts';
import { auditRoutes } from './audit.ts';
import { backupRoutes } from './backups.ts';
import { databaseRoutes } from './databases.ts';
import { documentRoutes } from './document.ts';
import { eventRoutes } from './events.ts';
import { lossRoutes } from './losses.ts';
import { momentRoutes } from './moments.ts';
import { pageRoutes } from './page.ts';
import { rescueRoutes } from './rescue.ts';
import { restoreRoutes } from './restores.ts';
import { runRoutes } from './runs.ts';
import { settingRoutes } from './settings.ts';
import { setUpRoutes } from './set-up.ts';
import { signInRoutes } from './sign-in.ts';
import { statusRoutes } from './status.ts';
import { targetRoutes } from './targets.ts';

export const table = [
  ...signInRoutes,
  ...pageRoutes,
  ...statusRoutes,
  ...databaseRoutes,
  ...runRoutes,
  ...backupRoutes,
  ...arrivalRoutes,
  ...lossRoutes,
  ...restoreRoutes,
  ...rescueRoutes,
  ...momentRoutes,
  ...targetRoutes,
  ...settingRoutes,
  ...setUpRoutes,
  ...auditRoutes,
  ...eventRoutes,
  ...documentRoutes,
];
