/** A file from elsewhere on the page of the real app: looked into, kept, put over the database, and taken back. */
import { expect, test } from 'bun:test';
import { copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { axeFaults, PATIENCE_MS, setScene } from './app-scene.ts';
import { change } from '../support/scratch.ts';

const { here, openApp, openPage, backupNow, elsewhere } = setScene();

test(
  'a downloaded backup comes back by an upload, after the database lost a table',
  async () => {
    await openApp();
    const filename = await backupNow();
    const brought = join(here.folder, 'from-my-laptop.sqlite');
    copyFileSync(join(here.backups, filename), brought);
    // Another state than any backup that is here.
    change(brought, "INSERT INTO log VALUES (990, 'from my laptop')");
    await elsewhere('DELETE FROM log WHERE id > 0 RETURNING id');
    const page = await openPage();
    const dialog = page.getByRole('dialog', { name: 'Upload a backup' });
    await page.getByRole('button', { name: 'Upload a backup' }).click();
    writeFileSync(join(here.folder, 'letter.txt'), 'Dear aunt, I made no backup at all.');
    await page.getByLabel('Database file').setInputFiles(join(here.folder, 'letter.txt'));
    await dialog.getByText('letter.txt is not a SQLite database').waitFor();
    await page.getByLabel('Database file').setInputFiles(brought);
    await dialog.getByText('It looks like bank.sqlite.').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Keep and restore…' }).click();
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    await page
      .getByRole('button', { name: /^Restore/ })
      .last()
      .click();
    await page.getByRole('heading', { name: 'Restored' }).waitFor();
    expect(await elsewhere('SELECT text FROM log WHERE id = 990')).toBe('from my laptop');
    await page.locator('.row', { hasText: 'From from-my-laptop.sqlite' }).waitFor();
    expect(existsSync(brought)).toBe(true);
    expect(readdirSync(join(here.backups, '.arrived'))).toEqual([]);
    // The browser calls a refused request an error, too.
    expect(here.faults.filter((fault) => !fault.includes('422'))).toEqual([]);
  },
  PATIENCE_MS,
);
