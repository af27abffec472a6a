/** Fossil: a repository is one SQLite file. Beside a server that opens it for each request, every write is a wiki page. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordingApp } from './story.ts';
import { end, untilPrinted, type Workplace } from './work.ts';

export async function openFossil(place: Workplace, journalMode: 'delete' | 'wal'): Promise<RecordingApp> {
  const database = place.path('shop.fossil');
  const checkout = place.path('checkout');
  const env = { FOSSIL_HOME: place.folder };
  const fossil = (args: readonly string[], input?: string) => place.run('fossil', args, { cwd: checkout, env, input });
  let commits = 0;
  mkdirSync(checkout);
  await fossil(['init', database, '--admin-user', 'anna']);
  if (journalMode === 'wal') await fossil(['rebuild', database, '--wal', '--quiet']);
  await fossil(['open', database, '--user', 'anna']);
  const commit = async () => {
    writeFileSync(join(checkout, 'recipe.txt'), `${++commits} eggs\n`.repeat(200 * commits));
    if (commits === 1) await fossil(['add', 'recipe.txt']);
    await fossil(['commit', '-m', `recipe ${commits}`, '--no-warnings', '--user-override', 'anna']);
  };
  for (let time = 0; time < 3; time++) await commit();
  const server = place.start('fossil', ['server', '--localhost', database], { env });
  // The first that is free from 8080 on, which it says itself.
  const port = Number(await untilPrinted(server, /TCP port (\d+)\s/));

  return {
    database,
    busyWords: /database is locked/,
    write: (number) => fossil(['wiki', 'create', `page ${number}`, '-R', database], `Page *${number}* of many.`),
    async written(path = database) {
      const titles = await fossil(['wiki', 'list', '-R', path]);
      return [...titles.matchAll(/^page (\d+)$/gm)].map(([, number]) => Number(number)).sort((a, b) => a - b);
    },
    async check(path = database) {
      const integrity = await fossil(['test-integrity', '-R', path]);
      if (!/ 0 errors\b/.test(integrity) || !/integrity-check: ok/.test(integrity)) throw new Error(integrity);
      const content = await fossil(['cat', 'recipe.txt', '-r', 'trunk', '-R', path]);
      if (!content.startsWith(`${commits} eggs`)) throw new Error(content);
      if (path === database && server.exitCode === null && server.signalCode === null) await request(port);
    },
    // Its shell keeps a connection, which the server does not between two requests.
    async hold() {
      const shell = place.start('fossil', ['sql', '-R', database], { env });
      shell.stdin?.write('SELECT count(*) FROM blob;\n');
      await untilPrinted(shell, /^\d+\n/m);
      return {
        process: `fossil (process ${shell.pid})`,
        async release() {
          shell.stdin?.end('SELECT count(*) FROM blob;\n');
          if (shell.exitCode === null) await once(shell, 'exit');
        },
      };
    },
    stop: () => end(server),
  };
}

async function request(port: number): Promise<void> {
  const page = await fetch(`http://127.0.0.1:${port}/timeline`);
  const text = await page.text();
  if (!page.ok || !text.includes('recipe 1')) throw new Error(`${page.status} ${text}`);
}
