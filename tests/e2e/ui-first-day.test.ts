/** The card of the first day in a real browser: it takes the chart's place, follows what is true, and goes. */
import { expect, test } from 'bun:test';
import type { Page } from 'playwright-core';
import { axeFaults } from './app-scene.ts';
import { type FixtureOptions, type State, startFixture } from './ui-fixture.ts';
import { openScene } from './ui-scene.ts';

const PATIENCE_MS = 120_000;
const scene = openScene(PATIENCE_MS);

async function open(state: State, { width = 1280, ...options }: FixtureOptions & { width?: number } = {}) {
  const opened = await scene.open(startFixture(state, options), { viewport: { width, height: 860 } });
  await opened.page.locator('#lists').waitFor();
  return opened;
}

const card = (page: Page) => page.getByRole('region', { name: 'The first day' });

test(
  'with two backups it stands in the chart’s place, ticks what is done, and a drill from it goes on to the next step',
  async () => {
    const { page, fixture } = await open('first-day');
    await card(page).getByText('2 of 5 done').waitFor();
    expect(await page.locator('.activity').count()).toBe(0);
    expect(await card(page).locator('.todo.done b').allTextContents()).toEqual([
      ...['First backup, opened and checked', 'Backups run by themselves'],
    ]);
    await card(page).getByText('If this disk fails, all backups go with it').waitFor();
    await card(page).getByRole('img', { name: '2 backups so far: 11:30 and 11:20' }).waitFor();
    await card(page).getByText('The last 1 h 40 min: one every 10 minutes').waitFor();
    await card(page).getByText('The activity chart appears here with the sixth backup.').waitFor();
    expect(await axeFaults(page)).toEqual([]);

    await card(page).getByRole('button', { name: 'Run a drill' }).click();
    await card(page).getByText('3 of 5 done').waitFor();
    expect(fixture.asked).toEqual(['POST api/drill']);
    expect(await card(page).getByRole('button', { name: 'Run a drill' }).count()).toBe(0);
    const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
    await page.waitForFunction(() => document.activeElement?.textContent?.trim() === 'Set up S3');
    expect(await focused()).toBe('Set up S3');
  },
  PATIENCE_MS,
);

test(
  'its buttons open the set-up, and who leaves it is back at the button',
  async () => {
    const { page } = await open('first-day');
    const isFocused = (name: string) =>
      page.waitForFunction((text) => document.activeElement?.textContent?.trim() === text, name);
    await card(page).getByRole('button', { name: 'Set up S3' }).click();
    await page.getByRole('heading', { name: 'Set up S3' }).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await isFocused('Set up S3');
    await card(page).getByRole('button', { name: 'Add' }).click();
    await page
      .getByLabel(/webhook/i)
      .first()
      .waitFor();
    await page.getByRole('button', { name: 'Cancel' }).last().click();
    await isFocused('Add');
  },
  PATIENCE_MS,
);

test(
  'what is set up elsewhere shows, however soon after the last look',
  async () => {
    const { page, fixture } = await open('first-day');
    await card(page).getByText('2 of 5 done').waitFor();
    const webhook = { part: 'webhook', url: 'https://hooks.example.com/x' };
    expect((await page.request.post(`${fixture.url}api/set-up`, { data: webhook })).ok()).toBe(true);
    await card(page).getByText('A webhook or a heartbeat is set').waitFor();
    await card(page).getByText('3 of 5 done').waitFor();
  },
  PATIENCE_MS,
);

test(
  'hidden it stays hidden, and the chart takes its place',
  async () => {
    const { page } = await open('first-day');
    await card(page).getByRole('button', { name: 'Hide this card' }).click();
    await page.getByRole('region', { name: 'Activity' }).waitFor();
    expect(await card(page).count()).toBe(0);
    await page.reload();
    await page.getByRole('region', { name: 'Activity' }).waitFor();
    expect(await card(page).count()).toBe(0);
  },
  PATIENCE_MS,
);

test(
  'before the first backup it says when that is made; with many there is the chart alone',
  async () => {
    const empty = await open('empty');
    await card(empty.page)
      .getByText(/^It is made at \d\d:\d\d:\d\d$/)
      .waitFor();
    expect(await card(empty.page).getByRole('button', { name: 'Run a drill' }).count()).toBe(0);
    expect(await axeFaults(empty.page)).toEqual([]);

    const { page } = await open('ok', { more: 100 });
    await page.getByRole('region', { name: 'Activity' }).waitFor();
    await page.locator('.row').first().waitFor();
    expect(await card(page).count()).toBe(0);
  },
  PATIENCE_MS,
);

test(
  'on a phone nothing is wider than the screen',
  async () => {
    for (const width of [390, 320]) {
      const { page } = await open('first-day', { width });
      await card(page).getByText('How far back you can go').waitFor();
      expect(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)).toBe(false);
    }
  },
  PATIENCE_MS,
);
