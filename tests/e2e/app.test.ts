/** What a person does with a database that another process writes to. */
import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { ErrorAnswer, Status } from '../../src/http/contract.ts';
import { judgeBank, startWriter } from '../support/bank.ts';
import { LOCK_FILE } from '../../src/engine/format/names.ts';
import { ownPort } from '../support/own-port.ts';
import { openElsewhere } from '../support/scratch.ts';
import { axeFaults, PATIENCE_MS, setScene } from './app-scene.ts';
import { holdTimers } from './ui-timers.ts';

/** Large enough that its copy is told in several steps. */
const DATABASE_BYTES = 128 * 1024 * 1024;

const { here, openApp, startAgain, openPage, ask, backupList, backupNow, elsewhere } = setScene();
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const topName = (page: Page) => page.locator('.rows .mono').first();
const rowOf = (page: Page, filename: string) => page.locator('.row', { hasText: filename });

test(
  'Backup Now shows what it does while it does it, then the new backup',
  async () => {
    await openApp({ sizeBytes: DATABASE_BYTES });
    const page = await openPage();
    const before = await topName(page).textContent();
    // Every headline and percentage the page shows, as it shows them.
    await page.evaluate(() => {
      const seen: string[] = [];
      Object.assign(window, { seen });
      const look = () => {
        const texts = [
          document.querySelector('.verdict h2')?.textContent?.trim(),
          document.querySelector('[role=progressbar]')?.getAttribute('aria-valuetext'),
        ];
        for (const text of texts) if (text && seen.at(-1) !== text) seen.push(text);
      };
      new MutationObserver(look).observe(document.body, {
        subtree: true,
        childList: true,
        characterData: true,
        attributes: true,
      });
    });
    // It waits for the folder until the page shows it.
    const holder = await openElsewhere(join(here.backups, LOCK_FILE));
    here.endings.push(holder.kill);
    await holder.ask('BEGIN EXCLUSIVE');
    await page.getByRole('button', { name: 'Backup Now' }).first().click();
    await page.getByRole('heading', { name: /^Backing up/ }).waitFor();
    await holder.ask('COMMIT');
    await page.locator('.toast', { hasText: 'Backup Successful' }).waitFor();
    await page.waitForFunction((name) => document.querySelector('.rows .mono')?.textContent !== name, before);
    await page.getByRole('heading', { name: 'Protected' }).waitFor();

    const seen = await page.evaluate(() => (window as unknown as { seen: string[] }).seen);
    const percents = seen
      .map((text) => Number(/^(\d+) percent/.exec(text)?.[1]))
      .filter((percent) => !Number.isNaN(percent));
    expect(seen.some((text) => /^Backing up/.test(text))).toBe(true);
    expect(new Set(percents).size).toBeGreaterThan(2);
    expect([...percents].sort((a, b) => a - b)).toEqual(percents);
    const [newest] = await backupList();
    expect(await topName(page).textContent()).toBe(newest?.filename ?? '');
    expect(await rowOf(page, newest?.filename ?? '').textContent()).toMatch(/Verified.*Latest.*Manual.*Local/s);
    expect(await axeFaults(page)).toEqual([]);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a run that another client asked for shows at once in every page that is open',
  async () => {
    await openApp();
    const [one, other] = await Promise.all([
      openPage(),
      openPage({ colorScheme: 'dark', viewport: { width: 390, height: 844 } }),
    ]);
    const filename = await backupNow();
    for (const page of [one, other]) {
      await rowOf(page, filename).waitFor();
      expect(await page.locator('.toast').count()).toBe(0);
      expect(await axeFaults(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    }
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'what is configured holds over a restart of the app, and the open page finds it again',
  async () => {
    const PORT = String(await ownPort());
    await openApp({ environment: { PORT } });
    const page = await openPage();
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByLabel('Retention Count (backups to keep)').fill('7');
    await page.getByRole('button', { name: '1 hour' }).click();
    await page.getByText('over about').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Save Configuration' }).click();
    await page.locator('.toast', { hasText: 'Configuration saved' }).waitFor();
    await page.getByText('Every 1h').waitFor();
    expect(here.faults).toEqual([]);

    await here.app.stop();
    await page.getByRole('heading', { name: 'No contact with the server' }).waitFor();
    await startAgain({ PORT });
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    await page.getByText('Every 1h').waitFor();
    const { body } = await ask<Status>('api/status');
    expect(body.schedule.intervalMinutes).toBe(60);
    expect(body.local.keep).toBe(7);
    await page.getByRole('button', { name: 'Configure' }).first().click();
    expect(await page.getByLabel('Retention Count (backups to keep)').inputValue()).toBe('7');
    await page.getByRole('button', { name: 'Back to 10', exact: true }).waitFor();
  },
  PATIENCE_MS,
);

test(
  'a download has the bytes of the file on disk, and verifying says so',
  async () => {
    await openApp();
    const page = await openPage();
    const [backup] = await backupList();
    const filename = backup?.filename ?? '';
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page
        .getByRole('link', { name: /Download backup/ })
        .first()
        .click(),
    ]);
    expect(download.suggestedFilename()).toBe(filename);
    const saved = join(here.folder, 'downloaded.sqlite');
    await download.saveAs(saved);
    expect(sha256(saved)).toBe(sha256(join(here.backups, filename)));
    expect(sha256(saved)).toBe(backup?.sha256 ?? '');
    expect(judgeBank(saved).complaint).toBeNull();

    await page
      .getByRole('button', { name: /More for backup/ })
      .first()
      .click();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Full integrity check' }).click();
    await page.locator('.toast', { hasText: 'full integrity check' }).waitFor();
    await rowOf(page, filename)
      .getByTitle(/^Full integrity check/)
      .waitFor();
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a backup with one wrong byte is found by verifying, named damaged, and not restored',
  async () => {
    await openApp();
    const page = await openPage();
    const [backup] = await backupList();
    const filename = backup?.filename ?? '';
    flipByte(join(here.backups, filename), 5_000);
    await page
      .getByRole('button', { name: /More for backup/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Verify now' }).click();
    await page.locator('.toast', { hasText: 'This backup is damaged' }).waitFor();
    await rowOf(page, filename).getByText('Damaged').waitFor();
    await page.locator('.verdict[data-tone=bad]').waitFor();
    expect(
      await page
        .getByRole('button', { name: /Restore backup of/ })
        .first()
        .isDisabled(),
    ).toBe(true);
    expect(await axeFaults(page)).toEqual([]);

    const before = sha256(here.database);
    const refused = await ask<ErrorAnswer>(`api/backups/${filename}/restore`, 'POST', { confirm: 'bank.sqlite' });
    expect(refused.body.error.code).toBe('VERIFY_FAILED');
    expect(sha256(here.database)).toBe(before);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a deletion says that it will happen, can be taken back, and then removes the file and its manifest',
  async () => {
    await openApp();
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    await backupNow();
    const page = await openPage();
    const filename = (await backupList())[1]?.filename ?? '';
    const remove = async () => {
      await rowOf(page, filename)
        .getByRole('button', { name: /Delete backup/ })
        .click();
      await page.getByRole('button', { name: 'Delete backup', exact: true }).click();
      await page.locator('.toast', { hasText: 'Deleting the backup' }).waitFor();
    };
    const letTimePass = await holdTimers(page);
    await remove();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await page.locator('.toast').waitFor({ state: 'detached' });
    expect(await Bun.file(join(here.backups, filename)).exists()).toBe(true);
    await remove();
    await letTimePass();
    await rowOf(page, filename).waitFor({ state: 'detached' });
    expect((await backupList()).map((backup) => backup.filename)).not.toContain(filename);
    expect(await Bun.file(join(here.backups, filename)).exists()).toBe(false);
    expect(await Bun.file(join(here.backups, `${filename}.json`)).exists()).toBe(false);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a restore while a writer goes on brings back the old rows, and Undo the new ones',
  async () => {
    await openApp({ sizeBytes: 8 * 1024 * 1024 });
    const neighbour = await openElsewhere(here.database);
    const writer = await startWriter(here.database, { perSecond: 50, busyTimeoutMs: 20_000 });
    here.endings.push(neighbour.close, writer.stop);
    const filename = await backupNow();
    const inBackup = judgeBank(join(here.backups, filename)).transactions;
    const page = await openPage();
    await neighbour.ask('INSERT INTO accounts VALUES (5000, 0) RETURNING id');
    await rowOf(page, filename)
      .getByRole('button', { name: /Restore backup/ })
      .click();
    await page.getByLabel(/to confirm/).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(await neighbour.ask('SELECT count(*) FROM accounts WHERE id = 5000')).toBe(0);
    expect(await neighbour.ask('SELECT sum(balance) FROM accounts')).toBe(1_000_000);
    expect(await neighbour.ask(`SELECT count(*) FROM log WHERE id <= ${inBackup}`)).toBe(inBackup);

    await page.getByRole('button', { name: 'Undo restore' }).click();
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.locator('.toast', { hasText: 'Restore undone' }).waitFor();
    expect(await neighbour.ask('SELECT count(*) FROM accounts WHERE id = 5000')).toBe(1);
    expect(await neighbour.ask('SELECT sum(balance) FROM accounts')).toBe(1_000_000);
    expect(await neighbour.ask('PRAGMA integrity_check')).toBe('ok');
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

function flipByte(path: string, at: number): void {
  const file = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, at);
  writeSync(
    file,
    byte.map((value) => value ^ 0xff),
    0,
    1,
    at,
  );
  closeSync(file);
}
