/** The page of an app whose copies go to a second folder: it is called a folder everywhere, and never S3. */
import { expect, test } from 'bun:test';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { axeFaults, PATIENCE_MS, setScene } from './app-scene.ts';

const { here, openApp, openPage, backupNow, elsewhere } = setScene();

test(
  'a second folder has its card, its chips, its test and its path; without its mark the page says so until it is back',
  async () => {
    const nas = join(here.folder, 'nas');
    mkdirSync(nas);
    writeFileSync(join(nas, '.velist-target'), '');
    await openApp({ environment: { BACKUP_FOLDER_PATH: nas } });
    const page = await openPage();
    const verdict = page.locator('.verdict');
    const card = page.getByRole('article').filter({ hasText: 'Folder Backup' });
    await page.getByText('a copy is in the second folder.').waitFor();
    await page.getByText('Every copy has arrived in the second folder').waitFor();
    await card.getByText('1 of 1 in sync').waitFor();
    await page.locator('.row .chip', { hasText: 'Folder' }).waitFor();
    expect(await card.textContent()).not.toContain('S3');
    expect(await verdict.textContent()).not.toContain('S3');
    expect(await axeFaults(page)).toEqual([]);

    await page.getByRole('tab', { name: 'Run log' }).click();
    await page.getByText(/^Copied .* to the second folder$/).waitFor();
    await page.getByRole('tab', { name: /Backup History/ }).click();

    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByText('Second folder', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Test folder' }).click();
    await page.getByText('The folder works: wrote, read back and removed test files').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();

    await page.getByTitle('Details').first().click();
    await page.getByRole('dialog').getByText('./nas/backup-').waitFor();
    // The drawer has asked the folder too.
    await page
      .getByRole('dialog')
      .getByText(/^Folder: /)
      .waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('The folder copy stays and can still be restored.').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();

    renameSync(join(nas, '.velist-target'), join(nas, 'gone'));
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    const waiting = backupNow();
    await page.getByRole('heading', { name: 'Protected here, but the second folder is not reachable' }).waitFor();
    await verdict.getByText(/1 backup\s+waits to be copied there\./).waitFor();
    await verdict.getByRole('button', { name: 'Test folder' }).waitFor();
    await card.getByText('Unreachable').waitFor();
    await page.locator('.row .chip', { hasText: 'Folder failed' }).waitFor();
    expect(await verdict.textContent()).not.toContain('S3');
    await waiting;

    renameSync(join(nas, 'gone'), join(nas, '.velist-target'));
    await elsewhere("INSERT INTO log VALUES (3, 'more') RETURNING id");
    await backupNow();
    await page.getByRole('heading', { name: 'Protected', exact: true }).waitFor();
    await card.getByText('3 of 3 in sync').waitFor();
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);
