/**
 * A person before a database that is gone, one that lost its rows, and a folder of another database: the real app, its
 * real page, a real browser.
 *
 * What the server must do for it:
 * - gone: the verdict `missing`, and `POST api/backups/:filename/restore` with `{ mode: 'missing' }`;
 * - loss: facts in manifests, the verdict `loss` with `status.loss`, `GET api/diff`, `POST api/loss/accept` and
 *   `POST api/loss/reopen`;
 * - folder: the verdict `foreign-place` with `status.places`, `other` of each backup, `FOREIGN_PLACE`, `fromOther`, and
 *   `POST api/claim`.
 */
import { expect, test } from 'bun:test';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupResult, Status } from '../../src/http/contract.ts';
import { judgeBank } from '../support/bank.ts';
import { ask as askFile, makeDatabase } from '../support/scratch.ts';
import { axeFaults, PATIENCE_MS, setScene } from './app-scene.ts';
import { holdTimers } from './ui-timers.ts';

const { here, openApp, startAgain, openPage, ask, backupList, backupNow, elsewhere } = setScene();
const status = async () => (await ask<Status>('api/status')).body;
const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'dark' } as const;

test(
  'a database that is gone is brought back from the page, and the next backup is of it',
  async () => {
    await openApp();
    const [good] = await backupList();
    for (const end of ['', '-wal', '-shm']) rmSync(here.database + end, { force: true });
    const page = await openPage();
    await page.getByRole('heading', { name: 'bank.sqlite is missing' }).waitFor();
    expect((await status()).verdict).toMatchObject({ code: 'missing', tone: 'red' });
    expect(await axeFaults(page)).toEqual([]);

    await page.getByRole('button', { name: /^Bring back .*…$/ }).click();
    const dialog = page.getByRole('dialog', { name: 'Bring bank.sqlite back?' });
    await dialog.getByRole('row', { name: 'accounts 1,000' }).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Bring back bank.sqlite' }).click();
    await page.locator('.toast', { hasText: 'bank.sqlite is back' }).waitFor();
    await page.getByRole('heading', { name: 'bank.sqlite is missing' }).waitFor({ state: 'detached' });
    expect(judgeBank(here.database).complaint).toBeNull();
    // Nothing was there, so nothing was set aside, and nothing is offered to be undone.
    expect((await status()).undo).toBeNull();
    expect(await page.getByRole('button', { name: 'Undo restore' }).count()).toBe(0);
    const made = await backupNow();
    expect((await backupList()).map(({ filename }) => filename)).toEqual([made, good?.filename ?? '']);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a file that is put back by hand ends the alarm, and an open dialog brings nothing back over it',
  async () => {
    await openApp();
    const [good] = await backupList();
    const filename = good?.filename ?? '';
    for (const end of ['', '-wal', '-shm']) rmSync(here.database + end, { force: true });
    const page = await openPage(phone);
    await page
      .locator('.bottombar')
      .getByRole('button', { name: /^Bring back/ })
      .click();
    const dialog = page.getByRole('dialog', { name: 'Bring bank.sqlite back?' });
    await dialog.getByText('What comes back').waitFor();
    makeDatabase(here.database, { rows: 7 });
    const refused = await ask<{ error: { code: string } }>(`api/backups/${filename}/restore`, 'POST', {
      mode: 'missing',
    });
    expect(refused.body.error.code).toBe('TARGET_EXISTS');
    await page.reload();
    await page.getByRole('heading', { name: 'bank.sqlite is missing' }).waitFor({ state: 'detached' });
    expect(askFile(here.database, 'SELECT count(*) FROM notes')).toBe(7);
  },
  PATIENCE_MS,
);

test(
  'a loss is seen, said to be meant, taken back, and undone by a restore of the backup before it',
  async () => {
    await openApp();
    const [before] = await backupList();
    await elsewhere('DELETE FROM accounts WHERE id > 0 RETURNING id');
    const lossy = await backupNow();
    const page = await openPage();
    const headline = page.getByRole('heading', { name: /^accounts had 1,000 rows at .* and has 0 since/ });
    await headline.waitFor();
    expect((await status()).loss).toMatchObject({ filename: lossy, before: before?.filename ?? '', accepted: null });
    expect(await page.locator('.row.loss').innerText()).toMatch(/accounts is empty[\s\S]*accounts −1,000/);
    await page.locator('.row', { hasText: 'Before the loss, kept' }).waitFor();
    expect(await axeFaults(page)).toEqual([]);

    await page.keyboard.press('=');
    await page.getByRole('dialog').getByRole('row', { name: 'accounts 1,000 0 −1,000' }).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.keyboard.press('Escape');

    await holdTimers(page);
    await page.getByRole('button', { name: 'It was intentional…' }).click();
    await page.getByText('accounts was emptied between').waitFor();
    await page.getByRole('button', { name: 'End the alarm' }).click();
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    await page.locator('.toast', { hasText: 'Alarm ended' }).getByRole('button', { name: 'Undo' }).click();
    await headline.waitFor();

    await page
      .locator('.verdict')
      .getByRole('button', { name: /^Restore .*…$/ })
      .click();
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(await elsewhere('SELECT count(*) FROM accounts')).toBe(1_000);
    // Our own restore brought rows back: the next backup shows no loss.
    const after = await backupNow();
    expect((await backupList()).find(({ filename }) => filename === after)?.loss).toBeNull();
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a folder of another database is left alone until somebody says whose it is',
  async () => {
    await openApp();
    const theirs = (await backupList()).map(({ filename }) => filename);
    await here.app.stop();
    const bank = here.database;
    here.database = join(here.folder, 'shop.sqlite');
    makeDatabase(here.database, { rows: 60 });
    await startAgain();

    const page = await openPage();
    await page.getByRole('heading', { name: 'This folder holds the backups of another database' }).waitFor();
    await page.getByRole('row', { name: 'Name bank.sqlite shop.sqlite differs' }).waitFor();
    await page.getByRole('heading', { name: 'Backups of bank.sqlite' }).waitFor();
    await page.getByText(/BACKUP_LOCAL_PATH=.*\/shop/).waitFor();
    expect(await page.getByRole('tab', { name: /Backup History/ }).innerText()).toMatch(/0$/);
    expect(await axeFaults(page)).toEqual([]);
    expect((await ask<BackupResult>('now', 'POST')).body.error?.code).toBe('FOREIGN_PLACE');
    const refused = await ask<{ error: { code: string } }>(`api/backups/${theirs[0]}/restore`, 'POST', {
      ...{ confirm: 'shop.sqlite', mode: 'online' },
    });
    expect(refused.body.error.code).toBe('FOREIGN_PLACE');
    expect(askFile(here.database, 'SELECT count(*) FROM notes')).toBe(60);
    expect((await backupList()).map(({ filename, other }) => [filename, other?.name])).toEqual(
      theirs.map((filename) => [filename, 'bank.sqlite']),
    );

    await page
      .getByRole('button', { name: /Restore backup of/ })
      .first()
      .click();
    const dialog = page.getByRole('dialog', { name: 'This is a backup of another database' });
    await dialog.getByText('Your table is not in this backup.').waitFor();
    const replace = dialog.getByRole('button', { name: 'Replace with bank.sqlite' });
    expect(await replace.isDisabled()).toBe(true);
    expect(await axeFaults(page)).toEqual([]);
    await dialog.getByLabel('Yes, put the data of bank.sqlite in place of shop.sqlite').check();
    await dialog.getByLabel(/to confirm/).fill('shop.sqlite');
    await replace.click();
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(askFile(here.database, 'SELECT count(*) FROM accounts')).toBe(1_000);
    await page.getByRole('button', { name: 'Undo restore' }).click();
    await page.getByLabel(/to confirm/).fill('shop.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.locator('.toast', { hasText: 'Restore undone' }).waitFor();
    expect(askFile(here.database, 'SELECT count(*) FROM notes')).toBe(60);
    await page.locator('.verdict').getByRole('button', { name: 'Dismiss' }).click();

    await page.getByRole('button', { name: 'Claim for shop.sqlite…' }).click();
    await page.getByRole('button', { name: 'Claim for shop.sqlite', exact: true }).click();
    await page.getByText('Is it the same database?').waitFor({ state: 'detached' });
    const made = await backupNow();
    await page.locator('.row', { hasText: made }).waitFor();
    expect((await status()).places.find(({ target }) => target === 'local')?.owner).toBe('ours');
    expect(existsSync(bank)).toBe(true);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);
