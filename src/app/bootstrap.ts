/**
 * The app: environment, service, server, closed in reverse order. `bun run dev` and `npm start` run this file;
 * `velist-backup serve` calls `runApp`.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { BackupError } from '../words/errors.ts';
import { visibleText } from '../words/visible-text.ts';
import { openDemoShop } from './demo-shop.ts';
import { createServer } from '../http/server.ts';
import { createSignIn } from '../http/access/sign-in.ts';
import { openFleet } from '../fleet/from-config.ts';
import { PASSWORD_LEAST } from '../service/password.ts';

export interface AppOptions {
  readonly configPath?: string;
  readonly databasePath?: string;
  readonly backupsPath?: string;
  /** Ends the app. */
  readonly signal: AbortSignal;
  /** In development the page's own server listens on PORT and passes requests on to us, one above. */
  readonly behindPageServer?: boolean;
  /** Bring the newest good backup back where the database is missing, before anything else starts. */
  readonly restoreIfMissing?: { readonly identityFile?: string; readonly allowPlain?: boolean };
  /** Make the demo database where none is; never in production. */
  readonly demo?: boolean;
}

/**
 * Runs until the signal, then closes everything. Resolves when all is closed.
 *
 * @throws BackupError BAD_CONFIG with one line per wrong setting, or when the address can't be used.
 */
export async function runApp(options: AppOptions): Promise<void> {
  const { configPath, backupsPath } = options;
  const opened: (() => unknown)[] = [];
  try {
    const fleet = await openFleet(configPath, { databasePath: options.databasePath, backupsPath });
    opened.push(() => fleet.close());
    if (fleet.isMany && options.databasePath !== undefined) {
      throw new BackupError('BAD_REQUEST', 'serve guards all databases of the configuration', {
        hint: 'Leave --database out, or name a file with fewer of them by --config.',
      });
    }
    const environment = fleet.common;
    if (options.demo && !environment.production && !fleet.isMany) {
      const log = (message: string) => console.log(`[Demo] ${message}`);
      const databasePath = options.databasePath ?? environment.databasePath;
      const demo = openDemoShop(databasePath, { orders: environment.demoOrders, log });
      // Closed after the fleet, as an app that outlives its backups.
      opened.unshift(() => demo.close());
    }
    if (options.restoreIfMissing) {
      const stop = () => void fleet.stop();
      options.signal.addEventListener('abort', stop, { once: true });
      for (const { service } of fleet.databases) await service.restoreIfMissing(options.restoreIfMissing);
      options.signal.removeEventListener('abort', stop);
    }

    const port = environment.port + (options.behindPageServer ? 1 : 0);
    const { password, token } = environment.signIn;
    const signIn = password === null && token === null ? undefined : createSignIn(environment.signIn);
    if (signIn?.isPasswordShort)
      console.error(
        `[Backup] BACKUP_ADMIN_PASSWORD has fewer than ${PASSWORD_LEAST} characters, so it opens nothing; backups go on. Set a longer one and start again.`,
      );
    const server = createServer({ service: fleet, host: environment.host, port, signIn });
    const { url } = await server.listen();
    opened.push(() => server.stop());

    console.log(
      `[Backup] The page is at ${options.behindPageServer ? `http://localhost:${environment.port}/backup` : url}`,
    );
    fleet.start();
    await ended(options.signal);
  } finally {
    for (const close of opened.reverse()) await close();
  }
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

// Through a linked folder Node names the link in `argv` and the file in `import.meta`.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const interrupted = new AbortController();
  process.on('SIGINT', () => interrupted.abort());
  process.on('SIGTERM', () => interrupted.abort());
  try {
    await runApp({
      signal: interrupted.signal,
      demo: true,
      behindPageServer: process.argv.includes('--behind-page-server'),
    });
    process.exit(0);
  } catch (error) {
    const known = BackupError.from(error);
    console.error(visibleText(`[Backup] ${known.message}\n${known.hint}`));
    if (known.code === 'INTERNAL') console.error(visibleText(inspect(error)));
    process.exit(known.code === 'BAD_CONFIG' ? 2 : 1);
  }
}
