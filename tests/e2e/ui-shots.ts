/**
 * Takes a picture of the page in every state, both themes and two widths, and fails when the content security policy
 * was violated, the page logged an error, or axe found a fault.
 *
 * `bun tests/e2e/ui-shots.ts [folder] [state…]`
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';
import { type Fixture, type State, startFixture } from './ui-fixture.ts';
import { startOverview } from './ui-overview-fixture.ts';
import type { SetUpScene } from './ui-set-up.ts';

interface Scene {
  readonly name: string;
  /** The state of the page of one database; `overview`: the page of several. */
  readonly state: State | 'overview';
  /** The whole page is in the picture, not only what is on the screen. */
  readonly whole?: boolean;
  readonly wantsPassword?: boolean;
  readonly setUp?: SetUpScene;
  /** Brings the page from its first picture into the one to look at. */
  readonly act?: (page: Page, fixture: Pick<Fixture, 'happens' | 'stop'>) => Promise<void>;
}

const openMenu = (page: Page) => page.getByRole('button', { name: 'More for backup' }).nth(1).click();
async function openRestore(page: Page): Promise<void> {
  await page.locator('.row').nth(3).waitFor();
  const button = page.getByRole('button', { name: 'Restore backup of' }).nth(2);
  if (await button.isVisible()) await button.click();
  else {
    await openMenu(page);
    await page.getByRole('button', { name: 'Restore…' }).click();
  }
  await page.getByLabel(/to confirm/).fill('dev.sqlite');
}

/** On a phone the press is somewhere in the row, on a desktop on the file name. */
function openDetails(index: number): Scene['act'] {
  return async (page) => {
    const row = page.locator('.row').nth(index);
    await row.waitFor();
    if ((page.viewportSize()?.width ?? 0) < 640) await row.locator('.szc').click({ force: true });
    else await row.locator('.name button').click();
    await page.locator('.drawer').getByRole('heading', { name: 'What is inside' }).waitFor();
    await page
      .locator('.drawer')
      .getByText(/other tables|Fetch .* from S3/)
      .waitFor();
  };
}

async function openConfiguration(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Configure' }).and(page.locator(':visible')).click();
  await page.getByLabel('Auto-Backup Interval (minutes)').waitFor();
}

async function openDelete(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'More for backup' }).first().click();
  await page.getByRole('button', { name: 'Delete…' }).click();
}

async function openCheckup(page: Page): Promise<void> {
  await page.getByRole('tab', { name: 'Check-up' }).click();
  await page.getByText('checks passed').waitFor();
}

async function testConnection(page: Page): Promise<void> {
  const fromVerdict = page.locator('.verdict').getByRole('button', { name: 'Test connection' });
  if (await fromVerdict.isVisible()) await fromVerdict.click();
  else {
    await page.getByRole('button', { name: 'Configure' }).and(page.locator(':visible')).click();
    await page.getByRole('button', { name: 'Test connection' }).click();
  }
  await page.locator('.trial .good, .trial .bad').first().waitFor();
}

/** With the mouse on a desktop, with a finger on a phone: both show the failed run. */
async function pointAtFailure(page: Page): Promise<void> {
  const bar = await page.locator('.activity rect.failed').boundingBox();
  if (bar === null) throw new Error('no failed run in the chart');
  const at = [bar.x + bar.width / 2, bar.y - 40] as const;
  const isPhone = (page.viewportSize()?.width ?? 0) < 640;
  await (isPhone ? page.touchscreen.tap(...at) : page.mouse.move(...at));
  await page.locator('.activity .tip').waitFor();
}

function showRange(name: '7d' | '30d'): Scene['act'] {
  return async (page) => {
    await page.getByRole('button', { name, exact: true }).click();
    await page.getByRole('img', { name: /over the last (7|30) days/ }).waitFor();
  };
}

/** In the verdict on a desktop, at the bottom edge of a phone. */
const press = (name: string | RegExp) => (page: Page) =>
  page.getByRole('button', { name }).and(page.locator(':visible')).first().click();

async function openStranger(page: Page): Promise<void> {
  await page.getByText('Is it the same database?').waitFor();
  const button = page.getByRole('button', { name: 'Restore backup of' }).first();
  if (await button.isVisible()) await button.click();
  else {
    await page.getByRole('button', { name: 'More for backup' }).first().click();
    await page.getByRole('button', { name: 'Restore…' }).click();
  }
  await page.getByLabel(/to confirm/).fill('dev.sq');
  await page.getByLabel(/Yes, put the data/).check();
}

/** Two backups go well, and one does not: that one stays picked. */
async function pickThree(page: Page): Promise<void> {
  if ((page.viewportSize()?.width ?? 0) < 640) await page.getByRole('button', { name: 'Pick' }).click();
  for (const name of ['app', 'auth', 'tenants.acme']) await page.getByLabel(`Pick ${name}`).check();
  await page.getByRole('button', { name: 'Back up 3', exact: true }).click();
  await page.getByText('1 database picked').waitFor();
  await page.getByLabel('Pick search').check();
}

const waitFor = (text: string) => (page: Page) => page.getByText(text).first().waitFor();

const followLink = async (page: Page, part: string) =>
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `set-up-${part}`);

async function fillWhere(page: Page): Promise<void> {
  await followLink(page, 's3');
  await page.getByRole('button', { name: 'Wasabi' }).click();
  await page.getByLabel('Region').fill('eu-central-1');
  await page.getByLabel('Bucket', { exact: true }).fill('my-backups');
}

async function fillKey(page: Page): Promise<void> {
  await fillWhere(page);
  await page.keyboard.press('Enter');
  await page.getByLabel('Access key').fill('AKEXAMPLE7Q2M');
  await page.getByLabel('Secret key').fill('0123456789012345678901234567890123456789');
}

async function testS3(page: Page): Promise<void> {
  await fillKey(page);
  await page.keyboard.press('Enter');
  await page.getByText(/works\.|does not work yet/).waitFor();
}

async function sendTest(page: Page): Promise<void> {
  await followLink(page, 'webhook');
  await page.getByLabel('Webhook').fill('https://hooks.slack.com/services/T0/B0/hush');
  await page.keyboard.press('Enter');
  await page.getByText(/Answered \d+ in/).waitFor();
}

const scenes: readonly Scene[] = [
  { name: 'set-up-where', state: 'single', act: fillWhere },
  {
    name: 'set-up-where-bad',
    state: 'single',
    async act(page) {
      await followLink(page, 's3');
      await page.getByRole('button', { name: 'Next: key' }).click();
      await page.locator('.fault').first().waitFor();
    },
  },
  { name: 'set-up-key', state: 'single', act: fillKey },
  { name: 'set-up-test', state: 'single', act: testS3 },
  { name: 'set-up-failed', state: 'single', setUp: { fails: 'bucket' }, act: testS3 },
  {
    name: 'set-up-lines',
    state: 'single',
    async act(page) {
      await fillKey(page);
      await page.getByLabel('In my environment').check();
      await page.getByLabel('The bucket’s own rule').check();
      await page.getByRole('button', { name: 'Next: test' }).click();
      await page.getByText('Lines for your environment').waitFor();
    },
  },
  {
    name: 'set-up-leave',
    state: 'single',
    async act(page) {
      await fillKey(page);
      await page.getByRole('button', { name: 'Close set-up' }).click();
      await page.getByText('Leave without saving?').waitFor();
    },
  },
  {
    name: 'set-up-locked',
    state: 'ok',
    setUp: { s3: 'environment' },
    async act(page) {
      await followLink(page, 's3');
      await page.getByText('Set by S3_BUCKET').waitFor();
    },
  },
  {
    name: 'set-up-folder',
    state: 'single',
    async act(page) {
      await followLink(page, 'folder');
      await page.getByLabel('Folder on another disk').fill('/mnt/nas/backups');
    },
  },
  { name: 'set-up-webhook', state: 'single', whole: true, act: sendTest },
  { name: 'set-up-webhook-bad', state: 'ok', whole: true, setUp: { fails: 'key', s3: 'page' }, act: sendTest },
  { name: 'ok', state: 'ok' },
  // Those of the README: `WIDTHS=1280 bun tests/e2e/ui-shots.ts docs/pictures page`.
  { name: 'page', state: 'ok', whole: false },
  { name: 'activity-tip', state: 'ok', act: pointAtFailure },
  { name: 'activity-7d', state: 'ok', act: showRange('7d') },
  { name: 'activity-30d', state: 'ok', act: showRange('30d') },
  { name: 'running', state: 'running' },
  { name: 'restoring', state: 'restoring' },
  { name: 'restored', state: 'restored' },
  { name: 'failed', state: 'failed' },
  { name: 'too-old', state: 'too-old' },
  { name: 'damaged', state: 'damaged' },
  { name: 'check-failed', state: 'check-failed' },
  { name: 's3-waiting', state: 's3-waiting' },
  { name: 'off', state: 'off' },
  { name: 'disk-low', state: 'disk-low' },
  { name: 'empty', state: 'empty' },
  { name: 'mixed', state: 'mixed' },
  { name: 'history', state: 'history' },
  {
    name: 'history-fold',
    state: 'history',
    whole: true,
    act: (page) => page.getByRole('button', { name: /4 safety copies/ }).click(),
  },
  {
    name: 'history-jump',
    state: 'history',
    whole: true,
    async act(page) {
      await page.getByLabel('Find a backup').fill('yesterday 17:00');
      await page.getByText('The newest backup from before then').waitFor();
    },
  },
  {
    name: 'history-none',
    state: 'history',
    whole: true,
    async act(page) {
      await page.getByLabel('Find a backup').fill('foo');
      await page.getByRole('button', { name: 'Clear search' }).waitFor();
    },
  },
  { name: 'restore', state: 'ok', act: openRestore },
  {
    name: 'restore-s3',
    state: 'mixed',
    async act(page) {
      await page.locator('.row').nth(6).locator('.name button').press('Enter');
      await page.locator('.drawer').getByRole('button', { name: 'Restore…' }).click();
      await page.getByLabel(/to confirm/).waitFor();
    },
  },
  { name: 'details', state: 'ok', act: openDetails(1) },
  { name: 'details-s3', state: 'mixed', act: openDetails(6) },
  {
    name: 'details-damaged',
    state: 'mixed',
    async act(page) {
      await page.locator('.row').nth(4).locator('.name button').press('Enter');
      await page.locator('.drawer .note.bad').waitFor();
    },
  },
  {
    name: 'keys',
    state: 'ok',
    async act(page) {
      await page.locator('.row').first().waitFor();
      await page.keyboard.press('?');
      await page.getByRole('heading', { name: 'Keyboard' }).waitFor();
    },
  },
  {
    name: 'keys-row',
    state: 'ok',
    async act(page) {
      await page.locator('.row').nth(3).waitFor();
      for (const key of ['j', 'j', 'j']) await page.keyboard.press(key);
      await page.locator('.row:focus-within').waitFor();
    },
  },
  {
    name: 'config-edited',
    state: 'ok',
    whole: true,
    async act(page) {
      await openConfiguration(page);
      await page.getByRole('button', { name: '1 hour' }).click();
      await page.getByLabel('Full integrity check').check();
    },
  },
  {
    name: 'delete-only',
    state: 'single',
    async act(page) {
      await openDelete(page);
      await page.getByLabel('S3 copy as well').check();
    },
  },
  { name: 'delete-newest', state: 'ok', act: openDelete },
  {
    name: 'config',
    state: 'ok',
    whole: true,
    async act(page) {
      await openConfiguration(page);
      await page.getByLabel('Auto-Backup Interval (minutes)').fill('0');
      await page.getByRole('button', { name: 'Save Configuration' }).click();
      await page.getByText('Must be a whole number').or(page.getByText('must be a whole number')).waitFor();
    },
  },
  { name: 'checkup', state: 'ok', whole: true, act: openCheckup },
  {
    name: 'password',
    state: 'ok',
    wantsPassword: true,
    async act(page) {
      await openMenu(page);
      await page.getByRole('button', { name: 'Delete…' }).click();
      await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
      await page.getByRole('textbox', { name: 'Password' }).waitFor({ timeout: 20_000 });
      await page.getByRole('textbox', { name: 'Password' }).fill('wrong horse');
      await page.getByRole('button', { name: 'Go on' }).click();
      await page.getByText('That is not the password.').waitFor();
    },
  },
  { name: 'checkup-bad', state: 'mixed', whole: true, act: openCheckup },
  { name: 'connection-ok', state: 'ok', act: testConnection },
  { name: 'connection-bad', state: 's3-waiting', act: testConnection },
  { name: 'menu', state: 'ok', act: openMenu },
  {
    name: 'delete',
    state: 'ok',
    async act(page) {
      await openMenu(page);
      await page.getByRole('button', { name: 'Delete…' }).click();
    },
  },
  {
    name: 'log',
    state: 'failed',
    act: (page) => page.getByRole('button', { name: 'Show run' }).click(),
  },
  {
    name: 'toast',
    state: 'ok',
    async act(page) {
      await page.getByRole('button', { name: 'Backup Now' }).and(page.locator(':visible')).click();
      await page.getByText('Backup Successful').first().waitFor();
      await page.waitForTimeout(400);
    },
  },
  { name: 'stalled', state: 'stalled' },
  { name: 'missing', state: 'missing' },
  { name: 'missing-none', state: 'missing-none' },
  {
    name: 'missing-dialog',
    state: 'missing',
    async act(page) {
      await press(/^Bring back/)(page);
      await page.getByText('What comes back').waitFor();
    },
  },
  {
    name: 'missing-appeared',
    state: 'missing',
    async act(page, { happens }) {
      await press(/^Bring back/)(page);
      await page.getByText('What comes back').waitFor();
      happens({ exists: true, verdict: { code: 'protected', tone: 'green' } });
      await page.getByText('There is a file again.').waitFor();
    },
  },
  { name: 'loss', state: 'loss' },
  {
    name: 'loss-see',
    state: 'loss',
    async act(page) {
      await press('See what was lost')(page);
      await page.getByText('37 other tables').waitFor();
    },
  },
  {
    name: 'loss-intentional',
    state: 'loss',
    async act(page) {
      await press('It was intentional…')(page);
      await page.getByText('Yes, this once').waitFor();
    },
  },
  { name: 'loss-details', state: 'loss', act: openDetails(0) },
  { name: 'foreign-place', state: 'foreign-place', whole: true, act: waitFor('Is it the same database?') },
  { name: 'foreign-moved', state: 'foreign-moved', whole: true, act: waitFor('Is it the same database?') },
  { name: 'foreign-s3', state: 'foreign-s3', whole: true, act: waitFor('Is it the same database?') },
  {
    name: 'foreign-claim',
    state: 'foreign-place',
    async act(page) {
      await press(/^Claim for/)(page);
      await page.getByText('The facts say').waitFor();
    },
  },
  { name: 'foreign-restore', state: 'foreign-place', act: openStranger },
  { name: 'other-writer', state: 'other-writer', whole: true, act: waitFor('Who wrote here') },
  { name: 'cloned', state: 'cloned', whole: true, act: waitFor('Who wrote here') },
  {
    name: 'compare',
    state: 'ok',
    async act(page) {
      await page.getByRole('button', { name: 'More for backup' }).first().click();
      await press('Compare with the one before')(page);
      await page.getByText('The schema differs.').waitFor();
    },
  },
  { name: 'first-day', state: 'first-day', whole: true, act: waitFor('The first day') },
  { name: 'overview', state: 'overview', whole: true, act: (page) => page.locator('.strip, .db').first().waitFor() },
  { name: 'overview-picked', state: 'overview', whole: true, act: pickThree },
  { name: 'overview-empty', state: 'overview', whole: true },
  {
    name: 'lost',
    state: 'ok',
    whole: true,
    async act(page, { stop }) {
      await stop();
      await page.getByRole('heading', { name: 'No contact with the server' }).waitFor({ timeout: 20_000 });
    },
  },
];

/** A desktop and a phone, or what `WIDTHS=1440,1024` says. */
const widths = (process.env.WIDTHS ?? '1280,390').split(',').map(Number);
const [folder = join(tmpdir(), 'ui-shots'), ...chosen] = process.argv.slice(2);
const axe = readFileSync(join(import.meta.dirname, '../../node_modules/axe-core/axe.min.js'), 'utf8');
const faults: string[] = [];
mkdirSync(folder, { recursive: true });

await buildPage();
const browser = await openBrowser();
for (const scene of scenes.filter(({ name }) => chosen.length === 0 || chosen.includes(name))) {
  await Promise.all(
    (['light', 'dark'] as const).flatMap((colorScheme) =>
      widths.map(async (width) => {
        const isOverview = scene.state === 'overview';
        const fixture = isOverview
          ? { ...startOverview({ isEmpty: scene.name === 'overview-empty', failing: ['auth'] }), happens: () => {} }
          : startFixture(scene.state, { wantsPassword: scene.wantsPassword ?? false, setUp: scene.setUp });
        const name = `${scene.name}-${colorScheme}-${width}`;
        const context = await browser.newContext({
          colorScheme,
          viewport: { width, height: width === 390 ? 844 : 860 },
          timezoneId: 'Europe/Berlin',
          reducedMotion: 'reduce',
          hasTouch: width === 390,
        });
        const page = await context.newPage();
        page.on('pageerror', (error) => faults.push(`${name}: ${error.message}`));
        page.on('console', (message) => {
          // A stopped server is what the scene "lost" is about.
          if (
            message.type() === 'error' &&
            !message.text().includes('ERR_CONNECTION') &&
            !message.text().includes('ERR_INCOMPLETE') &&
            !message.text().includes('422') &&
            !message.text().includes('403')
          )
            faults.push(`${name}: ${message.text()}`);
        });
        await page.addInitScript(() => {
          document.addEventListener('securitypolicyviolation', (event) =>
            console.error(
              `policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`,
            ),
          );
        });
        try {
          await page.goto(fixture.url);
          if (isOverview) await page.getByText('last checked').waitFor();
          else await page.getByRole('region', { name: 'Verdict' }).waitFor();
          await page.evaluate(() => document.fonts.ready);
          await scene.act?.(page, fixture);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (overflow > 0) faults.push(`${name}: scrolls sideways by ${overflow} px`);
          const found = await page.evaluate(
            `${axe}; axe.run().then((result) => result.violations.map((violation) => violation.id + ' ' + violation.nodes.slice(0, 3).map((node) => node.target + ': ' + (node.any[0] ?? node.all[0] ?? node.none[0])?.message).join(' | ')))`,
          );
          for (const violation of found as string[]) faults.push(`${name}: axe ${violation}`);
        } catch (error) {
          faults.push(`${name}: ${error instanceof Error ? error.message : error}`);
        }
        // Rows that were never on the screen have not been laid out, and a picture of the whole page shows them as gaps.
        await page.evaluate(() => {
          for (const row of document.querySelectorAll<HTMLElement>('.row')) row.style.contentVisibility = 'visible';
        });
        await page.screenshot({
          path: join(folder, `${name}.png`),
          fullPage: scene.whole ?? scene.act === undefined,
        });
        await context.close();
        await fixture.stop();
      }),
    ),
  );
  console.log(scene.name);
}
await browser.close();
for (const fault of faults) console.error(fault);
console.log(`${faults.length} faults, pictures in ${folder}`);
process.exit(faults.length === 0 ? 0 : 1);
