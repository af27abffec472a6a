/** S3, a second folder and a webhook set up on the real page of a real app, with a real bucket and a real receiver. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { openReceiver } from '../support/receiver.ts';
import { type S3Server, startS3Server } from '../support/s3-server.ts';
import { axeFaults, PATIENCE_MS, setScene } from './app-scene.ts';

const { here, openApp, openPage, startAgain } = setScene();
let server: S3Server;
beforeAll(async () => {
  server = await startS3Server();
  await server.createBucket('my-backups');
});
afterAll(async () => await server.close());

const follow = async (page: Page, part: string) =>
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `set-up-${part}`);

/** As with the keyboard alone: Enter goes on. */
async function toTest(page: Page, bucket: string, path = 'bank'): Promise<void> {
  await page.getByRole('button', { name: 'MinIO' }).click();
  await page.getByLabel('Address').fill(server.endpoint);
  await page.getByLabel('Bucket', { exact: true }).fill(bucket);
  await page.getByLabel('Folder in the bucket').fill(path);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Step 2 of 3: key' }).and(page.locator(':focus')).waitFor();
  await page.getByLabel('Access key').fill(server.accessKeyId);
  await page.getByLabel('Secret key').fill(server.secretAccessKey);
  await page.keyboard.press('Enter');
}

test(
  'a bucket: a wrong one is mended where it is named, the right one is tested, saved and used, also after a restart',
  async () => {
    await openApp();
    let page = await openPage();
    const card = () => page.getByRole('article').filter({ hasText: 'S3 Backup' });
    await card().getByText('Disabled').waitFor();
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: 'S3, a folder, a webhook, a heartbeat…' }).click();
    await page.getByRole('button', { name: 'Set up S3…' }).click();
    await page.getByRole('heading', { name: 'Step 1 of 3: where' }).and(page.locator(':focus')).waitFor();
    expect(await axeFaults(page)).toEqual([]);

    await toTest(page, 'nowhere');
    await page.getByText('S3 does not work yet.').waitFor();
    expect(await page.getByRole('button', { name: /^Save/ }).count()).toBe(0);
    await page.getByRole('button', { name: 'Back to Where' }).click();
    await page.getByLabel('Bucket', { exact: true }).fill('my-backups');
    await page.keyboard.press('Enter');
    // What was typed is still there.
    await page.getByRole('button', { name: 'Next: test' }).click();
    await page.getByText('S3 works.').waitFor();
    await page.getByRole('list', { name: 'Results of the test' }).getByText('Refuse to overwrite').waitFor();
    expect(await axeFaults(page)).toEqual([]);

    await page.getByRole('button', { name: 'Save and upload 1 backup' }).click();
    await page.getByText('S3 is set up').waitFor();
    await card().getByText('1 of 1 in sync').waitFor();
    await page.locator('.row .chip', { hasText: 'S3' }).waitFor();
    expect(await page.content()).not.toContain(server.secretAccessKey);

    const [file = ''] = readdirSync(here.folder).filter((name) => name.endsWith('.credentials.json'));
    expect(statSync(join(here.folder, file)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(here.folder, file), 'utf8')).toContain(server.secretAccessKey);

    await page.context().close();
    await here.app.stop();
    await startAgain();
    page = await openPage();
    await card().getByText('in sync').waitFor();
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: 'S3, a folder, a webhook, a heartbeat…' }).click();
    await page.getByText('s3://my-backups/bank').waitFor();
    await page.getByRole('button', { name: 'Remove… S3' }).click();
    await page.getByText('The copies there stay.').waitFor();
    await page.getByRole('button', { name: 'Remove S3' }).click();
    await page.getByRole('button', { name: 'Set up S3…' }).waitFor();
    await card().getByText('Disabled').waitFor();
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'leaving with a secret typed asks, Alt and the left arrow go back, and lines for the environment store nothing',
  async () => {
    await openApp();
    const page = await openPage();
    await follow(page, 's3');
    await page.getByRole('button', { name: 'Next: key' }).click();
    await page.getByText('Is needed.').first().waitFor();
    expect(await page.locator(':focus').getAttribute('aria-invalid')).toBe('true');
    await toTest(page, 'my-backups', 'another');
    await page.getByText('S3 works.').waitFor();
    await page.keyboard.press('Alt+ArrowLeft');
    await page.getByLabel('In my environment').check();
    await page.getByRole('button', { name: 'Close set-up' }).click();
    await page.getByText('Leave without saving?').waitFor();
    await page.getByRole('button', { name: 'Stay' }).click();
    await page.getByRole('button', { name: 'Next: test' }).click();
    const lines = page.getByLabel('Lines for .env');
    await lines.waitFor();
    expect(await lines.inputValue()).toContain('S3_BUCKET=my-backups');
    expect(await page.content()).not.toContain(server.secretAccessKey);
    await page.getByRole('button', { name: 'Done' }).click();
    await page.locator('.setup').waitFor({ state: 'detached' });
    expect(readdirSync(here.folder).filter((name) => name.endsWith('.credentials.json'))).toEqual([]);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a second folder and a webhook, beside what the environment says, which is locked',
  async () => {
    await using receiver = await openReceiver();
    const nas = join(here.folder, 'nas');
    mkdirSync(nas);
    await openApp({ environment: { BACKUP_HEARTBEAT_URL: `${receiver.url}/ping/hush` } });
    const page = await openPage();
    await follow(page, 'folder');
    await page.getByLabel('Folder on another disk').fill(nas);
    await page.keyboard.press('Enter');
    await page.getByText('The folder does not work yet.').waitFor();
    writeFileSync(join(nas, '.velist-target'), '');
    await page.getByRole('button', { name: 'Test again' }).and(page.locator(':visible')).click();
    await page.getByText('The folder works.').waitFor();
    await page.getByRole('button', { name: /^Save/ }).click();
    await page.getByRole('article').filter({ hasText: 'Folder Backup' }).getByText('1 of 1 in sync').waitFor();

    await follow(page, 'webhook');
    await page.getByText('Set by BACKUP_HEARTBEAT_URL').waitFor();
    receiver.answers.push(404);
    await page.getByLabel('Webhook').fill(`${receiver.url}/services/hush`);
    await page.keyboard.press('Enter');
    await page.getByText(/^Answered 404 in /).waitFor();
    await page.getByRole('button', { name: 'Send a test' }).first().click();
    await page.getByText(/^Answered 200 in /).waitFor();
    await page.getByRole('button', { name: 'Save webhook' }).click();
    await page.getByText(`${receiver.url}/…`).nth(1).waitFor();
    expect(await page.content()).not.toContain('hush');
    expect(await axeFaults(page)).toEqual([]);
    expect(here.faults).toEqual([]);
  },
  PATIENCE_MS,
);
