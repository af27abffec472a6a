/** What the page does when somebody has to decide: against the fixture server, by keys, with axe, wide and narrow. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'bun:test';
import type { Page } from 'playwright-core';
import { type State, startFixture } from './ui-fixture.ts';
import { openScene } from './ui-scene.ts';
import { holdTimers } from './ui-timers.ts';

const patienceMs = 120_000;
const newest = 'backup-2026-11-22T10-30-00-000Z.sqlite';
const before = 'backup-2026-11-22T10-20-00-000Z.sqlite';
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const scene = openScene(patienceMs);

async function open(
  state: State,
  { width = 1440, colorScheme = 'light' }: { width?: number; colorScheme?: 'light' | 'dark' } = {},
) {
  const isPhone = width < 640;
  const opened = await scene.open(startFixture(state), {
    viewport: { width, height: isPhone ? 844 : 900 },
    ...{ reducedMotion: 'reduce', hasTouch: isPhone, colorScheme },
  });
  await opened.page.locator('.verdict h2').waitFor();
  return opened;
}

const focused = (page: Page) => page.evaluate(() => document.activeElement?.textContent?.trim());
const visible = (page: Page, name: string | RegExp) =>
  page.getByRole('button', { name }).and(page.locator(':visible')).first();
const primaries = (page: Page) => page.locator('.btn.primary:visible').allInnerTexts();

async function expectAccessible(page: Page): Promise<void> {
  const found = await page.evaluate(
    `${axe}; axe.run().then((result) => result.violations.map((violation) => violation.id + ' ' + violation.nodes.map((node) => node.target).join(', ')))`,
  );
  expect(found).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
}

test(
  'a database that is gone is brought back without typing, and without a promise to undo it',
  async () => {
    const { page, fixture } = await open('missing');
    await page.getByRole('heading', { name: 'dev.sqlite is missing' }).waitFor();
    await page.locator('.say', { hasText: 'No backup is removed until the file is back.' }).waitFor();
    expect(await page.title()).toBe('! dev.sqlite is missing · Database Backup');
    expect(await page.locator('.stats').innerText()).toMatch(
      /No file\s+14\.2 MB at 11:30[\s\S]*On hold, none is removed[\s\S]*Waiting\s+next look in/,
    );
    await page.getByRole('button', { name: 'Bring back 11:30…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Bring dev.sqlite back?' });
    await dialog.getByText('Nothing is overwritten, so there is nothing to undo.').waitFor();
    await dialog.getByText('What came after 11:30:00 is in no backup.').waitFor();
    await dialog.getByRole('cell', { name: 'order_items' }).waitFor();
    expect(await dialog.getByText('You can undo this').count()).toBe(0);
    expect(await dialog.getByRole('textbox').count()).toBe(0);
    await expectAccessible(page);
    // The focus is on Cancel: a hasty Enter brings nothing back.
    expect(await focused(page)).toBe('Cancel');
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
    expect(fixture.asked).toEqual([]);

    await page.getByRole('button', { name: 'Bring back 11:30…' }).click();
    await dialog.getByRole('button', { name: 'Bring back dev.sqlite' }).click();
    await page.getByText('dev.sqlite is back').first().waitFor();
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(fixture.asked).toEqual([`POST api/backups/${newest}/restore {"mode":"missing"}`]);
  },
  patienceMs,
);

test(
  'the restore of any row brings the file back while there is none, by the key R too',
  async () => {
    const { page, fixture } = await open('missing');
    await page.locator('.row').nth(3).waitFor();
    for (const key of ['j', 'j', 'r']) await page.keyboard.press(key);
    const dialog = page.getByRole('dialog', { name: 'Bring dev.sqlite back?' });
    await dialog.getByText('The backup of 11:20 today is put at').waitFor();
    await dialog.getByRole('button', { name: 'Bring back dev.sqlite' }).click();
    await page.getByText('dev.sqlite is back').first().waitFor();
    expect(fixture.asked).toEqual([`POST api/backups/${before}/restore {"mode":"missing"}`]);
  },
  patienceMs,
);

test(
  'a file that appears by itself is seen at once, and the open dialog holds',
  async () => {
    const { page, fixture } = await open('missing', { width: 390 });
    await visible(page, /^Bring back/).click();
    const dialog = page.getByRole('dialog', { name: 'Bring dev.sqlite back?' });
    await dialog.getByText('What comes back').waitFor();
    fixture.happens({ exists: true, verdict: { code: 'protected', tone: 'green' } });
    await dialog.getByRole('alert').getByText('There is a file again.').waitFor();
    expect(await dialog.getByRole('button', { name: 'Bring back dev.sqlite' }).isDisabled()).toBe(true);
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    expect(fixture.asked).toEqual([]);
  },
  patienceMs,
);

test(
  'what is wrong when the file is put back is said in the dialog, and it can be tried again',
  async () => {
    const { page, fixture } = await open('missing');
    const error = { code: 'TARGET_EXISTS', message: 'there is a file at db/dev.sqlite', hint: 'Look at it first.' };
    await page.route('**/restore', (route) =>
      route.request().method() === 'POST' ? route.fulfill({ status: 409, json: { error } }) : route.continue(),
    );
    await page.getByRole('button', { name: 'Bring back 11:30…' }).click();
    const button = page.getByRole('button', { name: 'Bring back dev.sqlite' });
    await button.click();
    await page.getByRole('alert').getByText('there is a file at db/dev.sqlite. Look at it first.').first().waitFor();
    await page.unroute('**/restore');
    await button.click();
    await page.getByText('dev.sqlite is back').first().waitFor();
    expect(fixture.asked).toHaveLength(1);
  },
  patienceMs,
);

test(
  'without a good backup there is one thing to do about a missing file: to look again',
  async () => {
    const { page, fixture } = await open('missing-none');
    await page.locator('.say', { hasText: 'No good backup of it is known.' }).waitFor();
    expect(await primaries(page)).toEqual(['Check again']);
    await page.getByRole('button', { name: 'Check again' }).click();
    await page.getByText('There is still no file').waitFor();
    fixture.happens({ exists: true, verdict: { code: 'none', tone: 'grey' } });
    await page.getByRole('heading', { name: 'Not protected yet' }).waitFor();
  },
  patienceMs,
);

test(
  'a loss is told with its evidence, and looked at before anything is done',
  async () => {
    const { page, fixture } = await open('loss');
    await page.getByRole('heading', { name: 'orders had 8,310 rows at 11:20 and has 0 since 11:30' }).waitFor();
    await page.locator('.say', { hasText: 'safe: 11:20 today and 11:20 yesterday are kept until you' }).waitFor();
    // Names of tables come out of the database: the tab has none of them.
    expect(await page.title()).toBe('! dev.sqlite lost much · Database Backup');
    expect(await page.getByRole('list', { name: 'What was lost' }).innerText()).toMatch(
      /orders\s*, from 8,310 to 0 rows/,
    );
    expect(await page.getByRole('alert').first().textContent()).toMatch(/^orders had 8,310 rows/);
    const rows = page.locator('.row');
    expect(await rows.nth(0).innerText()).toMatch(/orders is empty[\s\S]*orders −8,310\s+order_items −24,901/);
    expect(await rows.nth(1).innerText()).toContain('Before the loss, kept');
    expect(await page.locator('.row.loss').count()).toBe(1);
    await page.getByLabel('Find a backup').fill('marked loss');
    await page.waitForFunction(() => document.querySelectorAll('.row').length === 1);
    await page.getByLabel('Find a backup').fill('');

    await page.getByRole('tab', { name: 'Run log' }).focus();
    await page.keyboard.press('=');
    const dialog = page.getByRole('dialog', { name: '11:20 and 11:30' });
    await dialog.getByRole('row', { name: 'order_items 24,901 0 −24,901' }).waitFor();
    await dialog.getByRole('row', { name: '37 other tables same number of rows, same schema' }).waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Restore 11:20…' }).click();
    await page.getByRole('heading', { name: 'Restore this backup?' }).waitFor();
    await page.getByText('Your app’s data goes back to 11:20 today.').waitFor();
    await page.keyboard.press('Escape');
    expect(fixture.asked).toEqual([]);
  },
  patienceMs,
);

test(
  'who says that a loss was meant ends the alarm, and can take that back',
  async () => {
    const { page, fixture } = await open('loss', { colorScheme: 'dark' });
    await holdTimers(page);
    await page.getByRole('button', { name: 'It was intentional…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Was this loss intentional?' });
    await dialog.getByText('orders and order_items were emptied between 11:20 and 11:30.').waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'End the alarm' }).click();
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    await page.locator('.toast', { hasText: 'Alarm ended' }).getByRole('button', { name: 'Undo' }).click();
    await page.getByRole('heading', { name: /^orders had/ }).waitFor();
    // By keys: the second answer.
    await page.getByRole('button', { name: 'It was intentional…' }).press('Enter');
    await dialog.getByLabel(/Yes, this once/).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    await page.locator('.row.loss').waitFor({ state: 'detached' });
    expect(await page.locator('.row').first().innerText()).toContain('orders is empty');
    // Undoing that one takes back what it said of the tables too.
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByText('Tables that raise no alarm').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Watch again orders', exact: true }).click();
    await page.getByRole('button', { name: 'Watch again orders', exact: true }).waitFor({ state: 'detached' });
    await page.locator('.toast', { hasText: 'Alarm ended' }).getByRole('button', { name: 'Undo' }).click();
    await page.getByRole('heading', { name: /^orders had/ }).waitFor();
    expect(fixture.asked).toEqual([
      `POST api/loss/accept {"filename":"${newest}"}`,
      `POST api/loss/reopen {"filename":"${newest}"}`,
      `POST api/loss/accept {"filename":"${newest}","ignore":true}`,
      'POST config {"lossIgnore":["order_items"]}',
      'POST config {"lossIgnore":[]}',
      `POST api/loss/reopen {"filename":"${newest}"}`,
    ]);
  },
  patienceMs,
);

test(
  'names of tables are text, whatever is in them',
  async () => {
    const { page } = await open('ok');
    await page.route('**/api/backups', async (route) => {
      const response = await route.fetch();
      const answer: { backups: { changes: unknown; filename: string }[] } = await response.json();
      const name = `<img src=x onerror=alert(1)>\n\u202e${'x'.repeat(200)}`;
      if (answer.backups[0])
        answer.backups[0].changes = { since: before, count: 1, tables: [{ name, before: 1, after: null }] };
      await route.fulfill({ response, json: answer });
    });
    await page.reload();
    const changes = page.locator('.row').first().getByRole('list', { name: 'Rows changed' });
    await changes.waitFor();
    // A row that is not laid out yet has no text.
    while ((await changes.innerText()) === '') await page.waitForTimeout(20);
    expect(await changes.innerText()).toMatch(/^<img src=x onerror=alert\(1\)>␊x+… removed$/);
    expect(await page.locator('.row img').count()).toBe(0);
    await expectAccessible(page);
  },
  patienceMs,
);

test(
  'a row says what changed, and is compared with the one before from its menu, its drawer and by a key',
  async () => {
    const { page } = await open('ok');
    const dialog = page.getByRole('dialog', { name: '11:20 and 11:30' });
    await page.locator('.row').nth(3).waitFor();
    expect(await page.locator('.row').nth(3).getByRole('list', { name: 'Rows changed' }).innerText()).toMatch(
      /orders \+49\s+users \+1\s+sessions −3\s+\+ 2 tables/,
    );
    expect(await page.locator('.row').nth(2).innerText()).toContain('no rows changed');
    await page.getByRole('button', { name: 'More for backup' }).first().click();
    await page.getByRole('button', { name: 'Compare with the one before' }).click();
    await dialog.getByRole('row', { name: 'price_list none 40 added' }).waitFor();
    await dialog.getByRole('row', { name: 'users 1,203 1,204 +1, schema' }).waitFor();
    await dialog.getByText('The schema differs.').waitFor();
    expect(await dialog.getByRole('button', { name: /^Restore/ }).count()).toBe(0);
    await page.keyboard.press('Escape');
    // The focus went back into the row.
    await page.keyboard.press('=');
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await page.getByTitle('Details').first().click();
    const drawer = page.locator('.drawer');
    await drawer.getByText('87,426 in all tables').waitFor();
    await drawer.getByRole('button', { name: 'Compare with the one before' }).click();
    await dialog.waitFor();
    expect(await page.locator('.drawer').count()).toBe(0);
  },
  patienceMs,
);

test(
  'a folder of another database is shown with what tells them apart, and the answer that fits',
  async () => {
    const { page, fixture } = await open('foreign-place');
    await page.getByRole('heading', { name: 'This folder holds the backups of another database' }).waitFor();
    const facts = page.getByRole('region', { name: 'Is it the same database?' });
    for (const row of ['Name shop.sqlite dev.sqlite differs', 'Machine this one this one same'])
      await facts.getByRole('row', { name: row }).waitFor();
    await facts.getByRole('row', { name: 'Tables 42 tables none of them differs' }).waitFor();
    await page.getByText('BACKUP_LOCAL_PATH=./storage/backups/dev').waitFor();
    expect(await primaries(page)).toEqual(['Copy the line for .env']);
    await page.getByRole('heading', { name: 'Backups of shop.sqlite' }).waitFor();
    expect(await page.getByRole('tab', { name: /Backup History/ }).innerText()).toMatch(/0$/);
    expect(await page.locator('.tag', { hasText: 'Latest' }).count()).toBe(0);
    await expectAccessible(page);

    // The highlighted answer comes first for the keyboard too.
    await page.getByRole('button', { name: 'Copy the line for .env' }).focus();
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Claim for dev.sqlite…');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Claim this folder for dev.sqlite?' });
    await dialog.getByText('The facts say that it is another database.').waitFor();
    await dialog.getByText('Somebody still makes backups there').waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Claim for dev.sqlite', exact: true }).click();
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    expect(fixture.asked).toEqual(['POST api/claim {"target":"local"}']);
    expect(await page.getByText('Is it the same database?').count()).toBe(0);
  },
  patienceMs,
);

test(
  'facts that disagree highlight neither answer, and one of the same name is called another one',
  async () => {
    const { page } = await open('foreign-moved', { width: 390, colorScheme: 'dark' });
    await page.getByText('Is it the same database?').waitFor();
    expect(await primaries(page)).toEqual([]);
    expect(await page.locator('.opt .pick').count()).toBe(0);
    await page.getByRole('heading', { name: 'Backups of another dev.sqlite' }).waitFor();
    // No bar at the edge: the cards ask. What it would hold is in the verdict.
    expect(await page.locator('.bottombar').count()).toBe(0);
    expect(await visible(page, 'Configure').isVisible()).toBe(true);
    await expectAccessible(page);
  },
  patienceMs,
);

test(
  'a backup of another database replaces this one only with a tick and the typed name',
  async () => {
    const { page, fixture } = await open('foreign-place');
    await page
      .getByRole('button', { name: /Restore backup of/ })
      .first()
      .click();
    const dialog = page.getByRole('dialog', { name: 'This is a backup of another database' });
    await dialog.getByText('None of your 9 tables is in this backup.').waitFor();
    await dialog.getByText('You can undo this.').waitFor();
    const button = dialog.getByRole('button', { name: 'Replace with shop.sqlite' });
    const tick = dialog.getByLabel('Yes, put the data of shop.sqlite in place of dev.sqlite');
    expect(await tick.isChecked()).toBe(false);
    await dialog.getByLabel(/to confirm/).fill('dev.sqlite');
    await dialog.getByLabel(/to confirm/).press('Enter');
    expect(await button.isDisabled()).toBe(true);
    expect(fixture.asked).toEqual([]);
    await expectAccessible(page);
    await tick.check();
    await button.click();
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(fixture.asked).toEqual([
      `POST api/backups/${newest}/restore {"confirm":"dev.sqlite","mode":"online","expected":"stamp-1","fromOther":true}`,
    ]);
  },
  patienceMs,
);

test(
  'while S3 is another database’s, backups go on here, and its own are apart',
  async () => {
    const { page } = await open('foreign-s3');
    await page.getByRole('heading', { name: 'S3 holds the backups of another database' }).waitFor();
    await page.getByText('BACKUP_S3_PATH=backups/database-dev').waitFor();
    expect(await visible(page, 'Backup Now').isEnabled()).toBe(true);
    expect(await page.getByRole('tab', { name: /Backup History/ }).innerText()).toMatch(/13$/);
    const headings = await page.locator('#lists h3').allInnerTexts();
    expect(headings.indexOf('Backups of shop.sqlite')).toBe(headings.length - 2);
    await expectAccessible(page);
  },
  patienceMs,
);

test(
  'another machine that writes to S3 is named, with its last sign, and this one takes over with a word',
  async () => {
    const beganMs = performance.now();
    const { page, fixture } = await open('other-writer');
    await page.getByRole('heading', { name: 'Another machine writes here' }).waitFor();
    await page.getByText('web-2 has been writing to s3://my-backups/backups/database since 11:21.').waitFor();
    const seen = page.locator('.verdict .facts', { hasText: /web-2 seen \d+ s ago/ });
    const seconds = Number(/seen (\d+) s ago/.exec((await seen.textContent()) ?? '')?.[1]);
    expect(seconds).toBeGreaterThanOrEqual(20);
    expect(seconds).toBeLessThanOrEqual(20 + Math.ceil((performance.now() - beganMs) / 1_000));
    await page.getByText('2 backups wait here').waitFor();
    await page.getByText('BACKUP_S3_PATH=backups/database-copy').waitFor();
    expect(await primaries(page)).toEqual(['Copy the line for .env']);
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Claim for this machine…' }).click();
    await page
      .getByRole('dialog', { name: 'Claim this place for dev.sqlite?' })
      .getByText('Stop web-2 first')
      .waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Turn off here' }).click();
    await page.getByText('Auto-backup is off here').waitFor();
    await page.getByRole('button', { name: 'Turn on again' }).click();
    await page.getByText('Auto-backup is on').waitFor();
    expect(fixture.asked).toEqual(['POST config {"enabled":false}', 'POST config {"enabled":true}']);

    const [local, s3] = [{ target: 'local' }, { target: 's3' }].map((place) => ({
      ...place,
      ...({ owner: 'ours', other: null, writer: null, sparesOthersUntil: null } as const),
    }));
    if (local && s3) fixture.happens({ places: [local, s3], verdict: { code: 'protected', tone: 'green' } });
    await page.getByText('This machine writes to S3 again').first().waitFor();
  },
  patienceMs,
);

test(
  'a cloned machine is called that, on a phone too',
  async () => {
    const { page } = await open('cloned', { width: 390 });
    await page.getByRole('heading', { name: 'This machine was cloned' }).waitFor();
    await page.getByText('Two machines have the same identity.').waitFor();
    await page.getByText('Who wrote here').waitFor();
    await expectAccessible(page);
  },
  patienceMs,
);

test(
  'on a phone the one thing to do is at the bottom edge, and is not shown twice',
  async () => {
    for (const [state, name] of [
      ['missing', 'Bring back 11:30…'],
      ['loss', 'See what was lost'],
      ['ok', 'Backup Now'],
    ] as const) {
      const { page } = await open(state, { width: 390 });
      await page.locator('.bottombar').waitFor();
      expect(await primaries(page)).toEqual([name]);
      expect(await page.locator('.bottombar .primary').innerText()).toBe(name);
      await expectAccessible(page);
    }
  },
  patienceMs,
);
