/** The page in a real browser against the fixture server: what it asks of the server, and what it never asks. */
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'bun:test';
import { type FixtureOptions, type State, startFixture } from './ui-fixture.ts';
import { openScene } from './ui-scene.ts';
import { holdTimers } from './ui-timers.ts';

const patienceMs = 120_000;
const assets = new URL('../../dist/page/assets/', import.meta.url);
const firstBytes = 70 * 1024;
const laterBytes = 30 * 1024;
/** What is needed once, to set something up. */
const setUpBytes = 16 * 1024;
const chartBytes = 6 * 1024;
const scene = openScene(patienceMs);
const { fixtures } = scene;

async function open(state: State, { width = 1280, ...options }: FixtureOptions & { width?: number } = {}) {
  const opened = await scene.open(startFixture(state, options), {
    viewport: { width, height: 860 },
    ...{ reducedMotion: 'reduce', timezoneId: 'UTC' },
  });
  await opened.page.locator('.verdict h2').waitFor();
  return opened;
}

test(
  'Backup Now shows the steps, then the new backup on top',
  async () => {
    const { promise: until, resolve: goOn } = Promise.withResolvers<void>();
    const { page, fixture } = await open('ok', { until });
    const before = await page.locator('.rows .mono').first().textContent();
    await page.getByRole('button', { name: 'Backup Now' }).first().click();
    await page.getByRole('heading', { name: /Backing up/ }).waitFor();
    goOn();
    await page.getByText('Backup Successful').first().waitFor();
    await page.waitForFunction((name) => document.querySelector('.rows .mono')?.textContent !== name, before);
    expect(fixture.asked).toEqual(['POST now?wait=false']);
  },
  patienceMs,
);

test(
  'the check-up tells what the doctor finds and when a restore was proven, and proves one now',
  async () => {
    const { page, fixture } = await open('mixed');
    await page.getByRole('tab', { name: 'Check-up' }).click();
    const findings = page.locator('.finding');
    await findings.nth(2).waitFor();
    expect(await findings.nth(0).innerText()).toMatch(
      /The last drill of S3 failed\s+Problem\s+What can not be restored/,
    );
    expect(await findings.locator('.btn').allTextContents()).toEqual([
      ...[expect.stringContaining('Run a drill'), expect.stringContaining('Copy')],
    ]);
    await page.getByText('2 checks passed').click();
    await page.getByText('The backup folder is private.').waitFor();
    expect(await page.locator('.checkup dl').textContent()).toMatch(
      /Local\s+Last proven restore: 2 h ago, 3\.2 s\s*S3\s+Failed\s+1 h ago; the run log says why\.\s+Last proven/,
    );
    await page.getByRole('button', { name: 'Prove a restore now' }).click();
    await page.getByText('S3: a restore fails').waitFor();
    await page.getByText('Local: a restore works').waitFor();
    await findings.getByRole('button', { name: 'Run a drill' }).click();
    await page.getByRole('button', { name: 'Prove a restore now' }).waitFor();
    expect(fixture.asked).toEqual(['POST api/drill', 'POST api/drill']);
    await page.keyboard.press('Escape');
    await page.getByRole('tab', { name: 'Check-up' }).press('ArrowRight');
    expect(await page.getByRole('tab', { name: /Backup History/ }).getAttribute('aria-selected')).toBe('true');
  },
  patienceMs,
);

test(
  'a failed test restore turns the verdict, opens its run, and another backup is tested without it',
  async () => {
    const { page, fixture } = await open('mixed');
    const verdict = page.getByRole('region', { name: 'Verdict' });
    await verdict.getByRole('heading', { name: 'The test restore failed' }).waitFor();
    expect(await verdict.locator('.say').textContent()).toMatch(
      /^The backup of 10:30 on S3 could not be restored to a hidden place: An assertion does not hold/,
    );
    await verdict.getByRole('button', { name: 'Test another' }).click();
    await page.getByText('S3: a restore fails').waitFor();
    expect(fixture.asked).toEqual([
      'POST api/drill {"target":"s3","without":["backup-2026-11-22T10-30-00-000Z.sqlite"]}',
    ]);
    await verdict.getByRole('button', { name: 'Show run' }).click();
    await page.locator('.run.open, .run[open], [aria-expanded="true"]').first().waitFor();
    expect(await page.getByRole('tab', { name: 'Run log' }).getAttribute('aria-selected')).toBe('true');
  },
  patienceMs,
);

test(
  'a stored backup that is damaged turns the verdict, and is shown and checked again from there',
  async () => {
    const { page, fixture } = await open('check-failed');
    const verdict = page.getByRole('region', { name: 'Verdict' });
    await verdict.getByRole('heading', { name: 'A stored backup is damaged' }).waitFor();
    const name = 'backup-2026-11-22T09-50-00-000Z.sqlite';
    await verdict.getByRole('button', { name: 'See the backup' }).click();
    await page.locator('.drawer').getByText(name).first().waitFor();
    await page.keyboard.press('Escape');
    await verdict.getByRole('button', { name: 'Check it again' }).click();
    await page.getByText('Verified', { exact: true }).first().waitFor();
    expect(fixture.asked).toEqual([`POST api/backups/${name}/verify {"full":true,"from":"local"}`]);
  },
  patienceMs,
);

test(
  'a wrong call of the command line is a grey line of the run log, with its reason',
  async () => {
    const { page } = await open('ok');
    await page.getByRole('tab', { name: 'Run log' }).click();
    const line = page.locator('#run-run-refused');
    await line.click();
    expect(await line.locator('.msg').textContent()).toBe('Not begun. Another run is using the backup folder.');
    expect(await line.locator('.bdg').getAttribute('class')).toContain('off');
    await page.locator('.lrx .note.info').waitFor();
  },
  patienceMs,
);

test(
  'the run log shows only the failed runs, the drills or the alarms, as far as there are some',
  async () => {
    const { page } = await open('loss');
    await page.getByRole('tab', { name: 'Run log' }).click();
    const chips = page.getByRole('group', { name: 'Show' }).getByRole('button');
    await chips.filter({ hasText: 'Alarms' }).waitFor();
    expect(await chips.allTextContents()).toEqual(['All', 'Failed1', 'Drills1', 'Alarms1']);
    const shown = async (chip: string) => {
      await chips.filter({ hasText: chip }).click();
      return await page.locator('.lr .msg').allTextContents();
    };
    expect(await shown('Failed')).toEqual([expect.stringMatching(/^Failed at Copy\./)]);
    expect(await shown('Drills')).toEqual([expect.stringMatching(/^Rehearsed a restore/)]);
    expect(await shown('Alarms')).toEqual([expect.stringMatching(/^Saved/)]);
    expect((await shown('All')).length).toBeGreaterThan(5);
  },
  patienceMs,
);

test(
  'safety copies are folded, and a search or their chip shows them',
  async () => {
    const { page } = await open('history');
    const fold = page.getByRole('button', { name: /4 safety copies/ });
    expect(await fold.textContent()).toMatch(
      /10:12 to 10:17 · 56\.8 MB · made before a restore · removed on 22 December/,
    );
    expect(await fold.getAttribute('aria-expanded')).toBe('false');
    expect(await page.locator('.inner .row').count()).toBe(0);
    await fold.press('Enter');
    await page.locator('.inner .row').nth(3).waitFor();
    await fold.press('Enter');
    expect(await page.locator('.inner').count()).toBe(0);
    const find = page.getByLabel('Find a backup');
    await find.fill('safety 10:14');
    await page.locator('.row').nth(0).waitFor();
    expect(await page.locator('.row').evaluateAll((rows) => rows.map((row) => row.dataset.filename))).toEqual([
      'backup-2026-11-22T10-14-00-000Z.sqlite',
    ]);
    await find.fill('');
    const chips = page.getByRole('group', { name: 'Show' }).getByRole('button');
    expect(await chips.allTextContents()).toEqual(['All25', 'Pinned1', 'Safety copies4', 'Marked1', 'Only in S36']);
    await chips.filter({ hasText: 'Safety copies' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.row').length === 4);
    expect(await page.locator('.fold').count()).toBe(0);
  },
  patienceMs,
);

test(
  'a day and a time find the backup from before then, and what matches nothing can be cleared',
  async () => {
    const { page } = await open('history');
    const find = page.getByLabel('Find a backup');
    await find.fill('yesterday 17:00');
    await page.getByText('The newest backup from before then is that of 21 November, 16:30.').waitFor();
    expect(await page.locator('.row.sel').getAttribute('data-filename')).toBe('backup-2026-11-21T16-30-00-000Z.sqlite');
    expect(await page.locator('.day h3').allTextContents()).toEqual(['Yesterday, 21 November']);
    await find.fill('foo');
    await page.getByText('No backup matches “foo”').waitFor();
    await page.getByRole('button', { name: 'Clear search' }).click();
    await page.locator('.row').nth(9).waitFor();
    expect(await find.inputValue()).toBe('');
    expect(await find.evaluate((field) => field === document.activeElement)).toBe(true);
    expect(await page.locator('.day').nth(1).textContent()).toMatch(/one per hour · 11 backups/);
  },
  patienceMs,
);

test(
  'an hour after the sign-in a deletion asks for the password, and goes on when it is right',
  async () => {
    const { page, fixture } = await open('single', { wantsPassword: true });
    await page.getByRole('button', { name: /Delete backup of/ }).click();
    await page.getByLabel('S3 copy as well').check();
    const name = 'backup-2026-11-22T10-30-00-000Z.sqlite';
    await page.getByLabel('Type its name to confirm').fill(name);
    await page.getByRole('button', { name: 'Delete backup', exact: true }).click();
    const password = page.getByRole('textbox', { name: 'Password' });
    await password.fill('wrong horse');
    await password.press('Enter');
    await page.getByText('That is not the password.').waitFor();
    await password.fill('correct horse');
    await password.press('Enter');
    await page.getByText('No backups yet').first().waitFor();
    const deletion = `DELETE ${name}`;
    expect(fixture.asked).toEqual([
      ...[deletion, 'POST confirm {"password":"wrong horse"}', 'POST confirm {"password":"correct horse"}', deletion],
    ]);
  },
  patienceMs,
);

test(
  'the check-up tells who did what',
  async () => {
    const { page } = await open('ok');
    await page.getByRole('tab', { name: 'Check-up' }).click();
    const acts = page.locator('.acts');
    await acts.getByText('Settings', { exact: true }).waitFor();
    expect(await acts.locator('li').nth(5).textContent()).toMatch(
      /Sign-in\s+refused: UNAUTHORIZED\s+Somebody, 203\.0\.113\.250\s+Not the password\./,
    );
  },
  patienceMs,
);

test(
  'the details say why retention keeps the backup, at each place',
  async () => {
    const { page } = await open('ok');
    await page.locator('.row').nth(0).locator('.name button').click();
    const drawer = page.locator('.drawer');
    await drawer.getByText('Local: newest verified backup, one of the newest 10 (1).').waitFor();
    await drawer.getByText('S3: newest verified backup, one of the newest 10 (1).').waitFor();
  },
  patienceMs,
);

test(
  'how many hours to years are kept is set on the page, and said what it gives',
  async () => {
    const { page, fixture } = await open('ok');
    await page.getByRole('button', { name: 'Configure' }).and(page.locator(':visible')).click();
    await page.getByLabel('Days').fill('7');
    await page.getByText(/then wider apart over about 7 days/).waitFor();
    await page
      .getByText(/^Up to/)
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Save Configuration' }).click();
    await page.getByText('Configuration saved').waitFor();
    expect(fixture.asked).toEqual(['POST config {"keepDaily":7}']);
  },
  patienceMs,
);

test(
  'a history by default is said with the room that it has, and a number of one’s own ends that',
  async () => {
    const { page } = await open('single');
    await page.getByRole('button', { name: 'Configure' }).and(page.locator(':visible')).click();
    await page.getByText('There is room for about 7 of these 35.').waitFor();
    // Ten newest, seven that fit, and what stays anyway.
    await page.getByText('281 MB', { exact: true }).waitFor();
    await page.getByLabel('Months').fill('12');
    await page.getByText(/then wider apart over/).waitFor();
    expect(await page.getByText('There is room for about').count()).toBe(0);
  },
  patienceMs,
);

test(
  'who may not change what is kept is told so, and what was typed stays',
  async () => {
    const { page } = await open('ok');
    const error = {
      code: 'FORBIDDEN',
      message: 'changing what is kept removes backups, and needs the right to delete',
      hint: 'Nothing was changed.',
    };
    await page.route('**/config', (route) =>
      route.request().method() === 'POST' ? route.fulfill({ status: 403, json: { error } }) : route.fallback(),
    );
    await page.getByRole('button', { name: 'Configure' }).and(page.locator(':visible')).click();
    await page.getByLabel('Retention Count').fill('1');
    await page.getByRole('button', { name: 'Save Configuration' }).click();
    await page.getByText('Changing what is kept removes backups, and needs the right to delete').waitFor();
    expect(await page.getByLabel('Retention Count').inputValue()).toBe('1');
  },
  patienceMs,
);

test(
  'a restore is sent only with the typed name, and with the stamp of the plan that was shown',
  async () => {
    const { page, fixture } = await open('ok');
    await page
      .getByRole('button', { name: /Restore backup of/ })
      .nth(2)
      .click();
    const field = page.getByLabel(/to confirm/);
    const button = page.getByRole('button', { name: 'Restore backup', exact: true });
    await field.fill('Dev.sqlite');
    await field.press('Enter');
    expect(await button.isDisabled()).toBe(true);
    expect(fixture.asked).toEqual([]);
    await field.fill(' dev.sqlite ');
    await field.press('Enter');
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(fixture.asked).toEqual([
      'POST api/backups/backup-2026-11-22T10-10-00-000Z.sqlite/restore {"confirm":"dev.sqlite","mode":"online","expected":"stamp-1"}',
    ]);
    await page.getByRole('button', { name: 'Undo restore' }).click();
    await page.getByRole('heading', { name: 'Undo the restore?' }).waitFor();
    await page.getByLabel(/to confirm/).fill('dev.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.getByText('Restore undone').first().waitFor();
    expect(fixture.asked.at(-1)).toBe('POST api/restore/undo {"confirm":"dev.sqlite","mode":"online"}');
  },
  patienceMs,
);

test(
  'a deletion can be taken back for eight seconds, then it is sent for the chosen copy',
  async () => {
    const { page, fixture } = await open('ok');
    const letTimePass = await holdTimers(page);
    const remove = page.getByRole('button', { name: /Delete backup of/ }).nth(3);
    await remove.click();
    await page.getByLabel('S3 copy as well').check();
    await page.getByRole('button', { name: 'Delete backup', exact: true }).click();
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await remove.click();
    await page.getByLabel('S3 copy as well').check();
    await page.getByLabel('Local copy').uncheck();
    await page.getByRole('button', { name: 'Delete S3 copy' }).click();
    await page.locator('.row.leaving').waitFor();
    expect(fixture.asked).toEqual([]);
    // The message of each, and of the second the deletion.
    expect(await letTimePass()).toEqual([8_000, 8_000, 8_000]);
    await page.getByText('10-00-00-000Z').first().waitFor({ state: 'detached' });
    expect(fixture.asked).toEqual(['DELETE backup-2026-11-22T10-00-00-000Z.sqlite?target=s3']);
  },
  patienceMs,
);

test(
  'with a further target each copy has its chip, its place, its box and its connection test',
  async () => {
    const { page, fixture } = await open('ok', { further: 'offsite-eu' });
    await page.getByText('and copies are in S3 and offsite-eu.').waitFor();
    await page.getByText('2 of 2 targets in sync').waitFor();
    const copies = page.locator('.row').nth(3).getByRole('list', { name: 'Copies' });
    expect(await copies.getByRole('listitem').allInnerTexts()).toEqual(['Local', 'S3', 'offsite-eu']);

    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: 'Test connection' }).nth(1).click();
    await page.getByText('Connection works').waitFor();
    expect(fixture.asked).toEqual(['POST api/targets/offsite-eu/test']);
    await page.getByRole('button', { name: 'Cancel' }).click();

    await page.getByTitle('Details').nth(3).click();
    await page.getByRole('dialog').getByText('s3://my-backups-eu/shop/').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('The S3 and offsite-eu copies stay and can still be restored.').waitFor();
    await page.getByLabel('S3 copy as well').check();
    await page.getByLabel('Local copy').uncheck();
    await page.getByLabel('offsite-eu copy as well').check();
    await page.getByText('The local copy stays and can still be restored.').waitFor();
    fixture.asked.length = 0;
    await page.getByRole('button', { name: 'Delete S3 and offsite-eu copies' }).click();
    await page.getByText('10-00-00-000Z').first().waitFor({ state: 'detached' });
    const name = 'backup-2026-11-22T10-00-00-000Z.sqlite';
    await page.getByText('Deleting the S3 and offsite-eu copies').waitFor({ state: 'detached' });
    expect(fixture.asked).toEqual([`DELETE ${name}?target=s3`, `DELETE ${name}?target=offsite-eu`]);
  },
  patienceMs,
);

test(
  'the only verified backup goes with its name typed, at once; one of its copies without',
  async () => {
    const { page, fixture } = await open('single');
    await page.getByRole('button', { name: /Delete backup of/ }).click();
    expect(await page.getByRole('button', { name: 'Delete local copy' }).isEnabled()).toBe(true);
    await page.getByLabel('S3 copy as well').check();
    await page.getByText('This is your only verified backup. After this there is none to rely on.').waitFor();
    const button = page.getByRole('button', { name: 'Delete backup', exact: true });
    expect(await button.isDisabled()).toBe(true);
    const name = 'backup-2026-11-22T10-30-00-000Z.sqlite';
    await page.getByLabel('Type its name to confirm').fill(` ${name} `);
    await button.click();
    await page.getByText('No backups yet').waitFor();
    expect(fixture.asked).toEqual([`DELETE ${name}`]);
  },
  patienceMs,
);

test(
  'by keys alone: choose a row, open its details, go back to it, delete its copy, take that back',
  async () => {
    const { page, fixture } = await open('ok');
    await page.locator('.row').nth(3).waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
    for (const key of ['j', 'j', 'j', 'k']) await page.keyboard.press(key);
    const second = 'backup-2026-11-22T10-20-00-000Z.sqlite';
    expect(await focused()).toBe(second);
    await page.keyboard.press('Enter');
    await page
      .getByRole('dialog', { name: 'Today' })
      .getByText(/other tables/)
      .waitFor();
    // A dialog is open: its keys are its own.
    await page.keyboard.press('r');
    expect(await page.getByRole('heading', { name: 'Restore this backup?' }).count()).toBe(0);
    await page.keyboard.press('Escape');
    expect(await focused()).toBe(second);

    await page.keyboard.press('r');
    await page.getByLabel(/to confirm/).waitFor();
    await page.keyboard.press('Escape');
    await holdTimers(page);
    await page.keyboard.press('Delete');
    await page.getByRole('button', { name: 'Delete local copy' }).press('Enter');
    const leaving = page.locator('.row.leaving');
    await leaving.waitFor();
    await page.getByRole('button', { name: 'Undo', exact: true }).press('Enter');
    await leaving.waitFor({ state: 'detached' });
    // From where the focus was before.
    await page.keyboard.press('j');
    expect(await focused()).toBe('backup-2026-11-22T10-10-00-000Z.sqlite');
    expect(fixture.asked).toEqual([]);
  },
  patienceMs,
);

test(
  'keys are left alone in a field, with a modifier, and after they were turned off',
  async () => {
    const { page, fixture } = await open('ok');
    await page.locator('.row').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('b?c');
    expect(await page.getByLabel('Find a backup').inputValue()).toBe('b?c');
    await page.getByLabel('Find a backup').fill('');
    await page.getByRole('tab', { name: 'Run log' }).focus();
    await page.keyboard.press('Control+b');
    await page.keyboard.press('?');
    const help = page.getByRole('dialog', { name: 'Keyboard' });
    await help.getByRole('switch', { name: 'Use these keys' }).click();
    await page.keyboard.press('Escape');
    await page.reload();
    await page.locator('.row').first().waitFor();
    await page.keyboard.press('b');
    await page.keyboard.press('?');
    expect(await help.count()).toBe(0);
    await page.getByRole('button', { name: 'Keyboard', exact: true }).click();
    await help.getByRole('switch').click();
    await page.keyboard.press('Escape');
    expect(fixture.asked).toEqual([]);
    await page.keyboard.press('b');
    await page.getByText('Backup Successful').first().waitFor();
    expect(fixture.asked).toEqual(['POST now?wait=false']);
  },
  patienceMs,
);

test(
  'looking at a backup that is at S3 alone fetches nothing until asked',
  async () => {
    const { page } = await open('mixed');
    const plans: string[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/restore')) plans.push(request.method());
    });
    await page.getByRole('button', { name: 'backup-2026-11-22T09-30-00-000Z.sqlite' }).click();
    const drawer = page.getByRole('dialog', { name: 'Today' });
    await drawer.getByText('Compressed with zstd, encrypted with age, 4.37 MB').waitFor();
    expect(plans).toEqual([]);
    await drawer.getByRole('button', { name: 'Fetch 4.37 MB from S3 and count the rows' }).click();
    await drawer.getByText(/other tables/).waitFor();
    expect(plans).toEqual(['GET']);
  },
  patienceMs,
);

test(
  'saving sends what differs, and a start value as a revert; leaving unsaved asks',
  async () => {
    const { page, fixture } = await open('ok');
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: '1 hour' }).click();
    await page.getByRole('button', { name: 'Close configuration' }).click();
    await page.getByRole('button', { name: 'Keep editing' }).click();
    await page.getByRole('button', { name: 'Back to 7' }).click();
    await page.getByRole('button', { name: 'Save Configuration' }).click();
    await page.getByText('Configuration saved').waitFor();
    expect(fixture.asked).toEqual(['POST config {"intervalMinutes":60,"revert":["retentionCount"]}']);
  },
  patienceMs,
);

test(
  'the connection is tested as saved; what is wrong is said with what to do',
  async () => {
    const { page, fixture } = await open('ok');
    await page.getByRole('button', { name: 'Configure' }).first().click();
    const button = page.getByRole('button', { name: 'Test connection' });
    await page.getByLabel('S3 path').fill('elsewhere');
    expect(await button.isDisabled()).toBe(true);
    await page.getByLabel('S3 path').fill('backups/database');
    await button.click();
    await page.getByText('Connection works: wrote, read back and removed test objects in 184 ms').waitFor();
    expect(fixture.asked).toEqual(['POST api/targets/s3/test']);

    const broken = (await open('s3-waiting')).page;
    // From the verdict, by one press.
    await broken.locator('.verdict').getByRole('button', { name: 'Test connection' }).click();
    await broken.getByText('The bucket is public: anyone can read backups without a key.').waitFor();
    await broken.getByText('Give every machine a prefix of its own').waitFor();
    await broken.getByText('The least that the key must be allowed').click();
    await broken.getByText('arn:aws:s3:::my-backups/backups/database/*').waitFor();
    expect(await broken.getByText('Connection works').count()).toBe(0);
  },
  patienceMs,
);

test(
  'a lost server is said within seconds, and what was known stays',
  async () => {
    const { page, fixture } = await open('ok');
    const rows = await page.locator('.row').count();
    await fixture.stop();
    await page.getByRole('heading', { name: 'No contact with the server' }).waitFor();
    expect(await page.locator('.row').count()).toBe(rows);
    expect(await page.title()).toBe('No contact with the server · Database Backup');
  },
  patienceMs,
);

test(
  'the chart is read out by the arrow keys, and Enter opens the run, however old it is',
  async () => {
    const { page } = await open('ok');
    const slider = page.getByRole('slider', { name: 'Runs of the last 24 hours' });
    await slider.press('End');
    await slider.press('ArrowLeft');
    expect(await slider.getAttribute('aria-valuetext')).toMatch(/^\d\d:20:00: Kept, 14\.\d MB$/);
    await page.locator('.activity .tip').waitFor();
    await slider.press('Escape');
    expect(await page.locator('.activity .tip').count()).toBe(0);
    await slider.press('Home');
    await slider.press('Enter');
    const run = page.locator('#run-run-old-0');
    await run.waitFor();
    expect(await run.getAttribute('aria-expanded')).toBe('true');
    await page.waitForFunction(() => document.activeElement?.id === 'run-run-old-0');
  },
  patienceMs,
);

test(
  'a click on a bar opens its run',
  async () => {
    const { page } = await open('ok');
    await page.locator('.activity rect.failed').waitFor();
    await page.locator('.row').nth(9).waitFor();
    // The layer above the bars hears of the pointer, and is clicked once it moves no more.
    const position = await page.evaluate(() => {
      const [bar, layer] = ['rect.failed', '.scan'].map((name) =>
        document.querySelector(`.activity ${name}`)?.getBoundingClientRect(),
      );
      if (!bar || !layer) throw new Error('no failed run in the chart');
      return { x: bar.x + bar.width / 2 - layer.x, y: bar.y + 4 - layer.y };
    });
    await page.locator('.activity .scan').click({ position });
    await page.getByRole('tab', { name: 'Run log', selected: true }).waitFor();
    await page.locator('#run-run-old-52[aria-expanded=true]').waitFor();
  },
  patienceMs,
);

test(
  'the range is remembered, and the chart says in a sentence what it shows',
  async () => {
    const { page } = await open('ok');
    await page.getByRole('img', { name: /last 24 hours: 141 good \(2 without S3\), 1 failed, 2 missed/ }).waitFor();
    await page.getByRole('button', { name: '7d' }).click();
    await page.getByRole('img', { name: /over the last 7 days/ }).waitFor();
    await page.reload();
    await page.getByRole('img', { name: /over the last 7 days/ }).waitFor();
  },
  patienceMs,
);

test(
  'a phone shows at most 48 bars, and nothing is shown before the first backup',
  async () => {
    const { page } = await open('ok', { width: 390 });
    await page.locator('.activity rect').first().waitFor();
    expect(await page.locator('.activity rect').count()).toBeLessThanOrEqual(48);
    expect(await page.locator('.activity rect.failed').count()).toBe(1);
    const empty = (await open('empty')).page;
    await empty.getByText('No backups yet').waitFor();
    expect(await empty.locator('.activity').count()).toBe(0);
  },
  patienceMs,
);

test(
  'a backup that is too old is told in the tab, with the runs that were missed',
  async () => {
    const { page } = await open('too-old');
    await page.getByText('19 planned runs did not happen').waitFor();
    await page.getByText('The app was not running from 08:22 to 11:31').waitFor();
    expect(await page.title()).toStartWith('! Last good backup is too old');
    expect(await page.locator('link[rel=icon]').getAttribute('href')).toContain(encodeURIComponent('#dc2626'));
  },
  patienceMs,
);

test(
  'whom the server refuses is told so, without waiting for the contact to be lost',
  async () => {
    const fixture = startFixture('ok');
    fixtures.push(fixture);
    const page = await scene.browser.newPage();
    const error = { code: 'FORBIDDEN', message: 'this is not allowed for you', hint: 'Sign in to the application.' };
    await page.route('**/api/**', (route) => route.fulfill({ status: 403, json: { error } }));
    await page.goto(fixture.url);
    const first = page.getByRole('heading', { name: /^You may not see this page|^No contact/ });
    expect(await first.textContent()).toBe('You may not see this page');
    await page.getByText('This is not allowed for you. Sign in to the application.').waitFor();
    await page.unroute('**/api/**');
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
  },
  patienceMs,
);

test(
  'the word that the restore is done can be dismissed',
  async () => {
    const { page, fixture } = await open('restored');
    await page.getByRole('button', { name: 'Dismiss' }).click();
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    expect(fixture.asked).toEqual(['POST api/restore/dismiss']);
  },
  patienceMs,
);

test(
  'of two thousand backups a hundred are drawn, and the search finds among all',
  async () => {
    const { page } = await open('ok', { more: 1987 });
    const rows = page.locator('.rows > .row');
    await page.waitForFunction(() => document.querySelectorAll('.rows > .row').length === 100);
    await page.getByRole('button', { name: 'Show 100 more' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.rows > .row').length === 200);
    await page.getByLabel('Find a backup').fill('2026-11-09T10-04');
    await page.waitForFunction(() => document.querySelectorAll('.rows > .row').length === 1);
    expect(await rows.first().textContent()).toContain('backup-2026-11-09T10-04');
  },
  patienceMs,
);

test(
  'what the page loads before it shows how things stand is under 70 KB of JavaScript and style sheets, the rest under 30 KB',
  async () => {
    const fixture = startFixture('ok');
    fixtures.push(fixture);
    const page = await scene.browser.newPage({ viewport: { width: 1280, height: 860 } });
    const asked: string[] = [];
    page.on('request', (request) => {
      const name = /\/assets\/([^/]+\.(?:js|css))$/.exec(request.url())?.[1];
      if (name !== undefined) asked.push(name);
    });
    await page.goto(fixture.url);
    await page.locator('.row').nth(9).waitFor();
    // The chart is fetched when the state is there.
    await page.locator('.activity').waitFor();
    await page.waitForLoadState('load');
    const first = asked.splice(0);
    const chart = first.filter((name) => name.startsWith('activity-'));
    expect(chart.length).toBe(2);
    expect(first.length).toBeGreaterThan(chart.length + 1);
    expect(weigh(first) - weigh(chart)).toBeLessThan(firstBytes);
    expect(weigh(chart)).toBeLessThan(chartBytes);

    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: 'Save Configuration' }).waitFor();
    const later = asked.splice(0);
    expect(weigh(later)).toBeLessThan(laterBytes);

    await page.getByRole('button', { name: 'S3, a folder, a webhook, a heartbeat…' }).click();
    await page.getByRole('button', { name: 'Send a test' }).first().waitFor();
    const last = asked.splice(0);
    expect(weigh(last)).toBeLessThan(setUpBytes);
    // All there is was counted, but for the overview, the first day, the upload of a file and what asks about
    // places: what is opened next asks for nothing more.
    const all = readdirSync(assets).filter((name) =>
      /^(?!overview-|first-day-|places-|arrivals-).*\.(js|css)$/.test(name),
    );
    expect([...first, ...later, ...last].sort()).toEqual(all.sort());
  },
  patienceMs,
);

test(
  'a bucket that was set up on the page and is not in use says why, and can be changed or removed',
  async () => {
    const complaint = 'the targets s3 and eu are one place: s3://mine/eu';
    const { page } = await open('ok', { setUp: { s3: 'page', complaint } });
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: 'S3, a folder, a webhook, a heartbeat…' }).click();
    await page.getByText(`It is not in use: ${complaint}.`).waitFor();
    await page.getByRole('button', { name: 'Remove… S3' }).waitFor();
    await page.getByRole('button', { name: 'Change S3…' }).click();
    await page.getByRole('heading', { name: 'Step 1 of 3: where' }).waitFor();
  },
  patienceMs,
);

test(
  'a part that cannot be loaded says so, and the page goes on',
  async () => {
    const { page } = await open('ok');
    await page.route('**/assets/on-demand*.js', (route) => route.fulfill({ status: 404, body: 'not found' }));
    await page.getByRole('tab', { name: 'Run log' }).click();
    await page.getByText('This part of the page did not load').waitFor();
    await page.getByRole('tab', { name: /Backup History/, selected: true }).waitFor();
    // What brings data back came with the page.
    await page
      .getByRole('button', { name: /Restore backup of/ })
      .first()
      .click();
    await page.getByLabel(/to confirm/).waitFor();
    await page.keyboard.press('Escape');
    await page.unroute('**/assets/on-demand*.js');
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByRole('tab', { name: 'Run log' }).click();
    await page.locator('.lr').first().waitFor();
  },
  patienceMs,
);

/** Compressed once, as a host of static files does. */
function weigh(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, assets)), { level: 9 }).byteLength, 0);
}
