/** What the page says of what happens elsewhere: at S3, in a terminal, behind a proxy, on a phone. */
import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOCK_FILE } from '../../src/engine/format/names.ts';
import { startS3Server } from '../support/s3-server.ts';
import { openElsewhere } from '../support/scratch.ts';
import { axeFaults, PATIENCE_MS, setScene } from './app-scene.ts';

const { here, openApp, openPage, backupList, backupNow, elsewhere } = setScene();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

test(
  'S3 goes away and comes back: the page says what waits, and is green again when it has arrived',
  async () => {
    const server = await startS3Server();
    here.endings.push(server.close);
    await server.createBucket('my-backups');
    await openApp({
      environment: {
        ...{ BACKUP_S3_ENABLED: 'true', S3_BUCKET: 'my-backups', S3_REGION: server.region },
        ...{ S3_ENDPOINT: server.endpoint, S3_ACCESS_KEY: server.accessKeyId, S3_SECRET_KEY: server.secretAccessKey },
      },
    });
    const page = await openPage();
    await page.getByRole('heading', { name: 'Protected', exact: true }).waitFor();
    await page.locator('.row .chip', { hasText: 'S3' }).waitFor();

    server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    const refused = backupNow();
    await page.locator('.verdict', { hasText: 'Protected here, but' }).waitFor();
    // A listing that is refused meanwhile says it of the older backup, too.
    await page.locator('.row .chip', { hasText: 'S3 failed' }).first().waitFor();
    expect(await page.locator('.verdict').textContent()).toContain('my-backups');
    expect(await axeFaults(page)).toEqual([]);

    await refused;
    server.faults.length = 0;
    await elsewhere("INSERT INTO log VALUES (3, 'more') RETURNING id");
    await backupNow();
    await page.getByRole('heading', { name: 'Protected', exact: true }).waitFor();
    await page.locator('.row .chip', { hasText: 'S3 failed' }).first().waitFor({ state: 'detached' });
    expect((await backupList()).map(({ placements }) => placements.map(({ status }) => status))).toEqual(
      Array.from({ length: 3 }, () => ['stored', 'stored']),
    );
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a backup made in a terminal shows while it is made, and stands in the list when it ended',
  async () => {
    await openApp();
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    const page = await openPage();
    await page.getByRole('heading', { name: 'Protected', exact: true }).waitFor();
    // It waits for the folder until the page shows it.
    const holder = await openElsewhere(join(here.backups, LOCK_FILE));
    here.endings.push(holder.kill);
    await holder.ask('BEGIN EXCLUSIVE');
    const child = spawn(process.execPath, ['--no-env-file', cliPath, 'backup', '--quiet'], {
      cwd: here.folder,
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: here.database,
        BACKUP_LOCAL_PATH: here.backups,
        BACKUP_STATE_PATH: `${here.folder}/state.sqlite`,
      },
      stdio: 'inherit',
    });
    const ended = once(child, 'exit');
    await page.locator('.verdict', { hasText: 'Backing up' }).waitFor();
    await holder.ask('COMMIT');
    expect(await ended).toEqual([0, null]);
    const [newest] = await backupList();
    await page
      .locator('.row', { hasText: newest?.filename ?? 'none' })
      .getByText('Latest')
      .waitFor();
    await page.getByRole('heading', { name: 'Protected', exact: true }).waitFor();
    expect(newest?.trigger).toBe('cli');
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'below another path, behind a proxy that cuts it off, everything works',
  async () => {
    await openApp();
    const upstream = new URL(here.app.url);
    const proxy = createServer((request, response) => {
      const path = (request.url ?? '').replace(/^\/deep\/admin/, '');
      const headers = { ...request.headers, host: upstream.host };
      if (headers.origin) headers.origin = upstream.origin;
      const passed = ask({ host: upstream.hostname, port: upstream.port, path, method: request.method, headers });
      passed.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        response.once('close', () => answer.destroy());
      });
      passed.once('error', () => response.destroy());
      request.pipe(passed);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    here.endings.push(async () => {
      proxy.closeAllConnections();
      proxy.close();
    });
    const { port } = proxy.address() as AddressInfo; // it listens on a port
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    const page = await openPage({ url: `http://127.0.0.1:${port}/deep/admin/backup` });
    await page.getByRole('button', { name: 'Backup Now' }).first().click();
    await page.locator('.toast', { hasText: 'Backup Successful' }).waitFor();
    await page.locator('.row').nth(1).waitFor();
    const waiting = page.waitForEvent('download');
    await page
      .getByRole('link', { name: /Download backup/ })
      .first()
      .click();
    expect((await waiting).url()).toContain('/deep/admin/backup/api/backups/');
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'on a phone, in the dark, a backup is made and restored with thumbs alone',
  async () => {
    await openApp();
    const page = await openPage({
      ...{ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: 'dark' },
    });
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    await page.getByRole('button', { name: 'Backup Now' }).and(page.locator(':visible')).tap();
    await page.locator('.toast', { hasText: 'Backup Successful' }).waitFor();
    const width = 'document.documentElement.scrollWidth';
    expect(await page.evaluate(width)).toBeLessThanOrEqual(390);
    await page
      .getByRole('button', { name: /More for backup/ })
      .nth(1)
      .tap();
    await page.getByRole('button', { name: 'Restore…' }).tap();
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    expect(await axeFaults(page)).toEqual([]);
    await page
      .getByRole('button', { name: /^Restore/ })
      .and(page.locator('dialog :visible'))
      .last()
      .tap();
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(await elsewhere('SELECT count(*) FROM log WHERE id = 2')).toBe(0);
    expect(await page.evaluate(width)).toBeLessThanOrEqual(390);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'an app that is gone is missed, what was known stays, and its return is noticed',
  async () => {
    await openApp();
    const page = await openPage();
    await page.getByRole('heading', { name: 'Protected', exact: true }).waitFor();
    await page.locator('.row').waitFor();
    await here.app.kill();
    await page.getByRole('heading', { name: 'No contact with the server' }).waitFor();
    expect(await page.locator('.row').count()).toBe(1);
    expect(await page.locator('.verdict').getAttribute('data-tone')).not.toBe('good');
  },
  PATIENCE_MS,
);
