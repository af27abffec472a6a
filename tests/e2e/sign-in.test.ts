/** The sign-in page in a real browser: without JavaScript, in both themes, on a small screen, and out again. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { Browser } from 'playwright-core';
import { type BackupServer, createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { createFakeService } from '../http/fake-service.ts';
import { axeFaults } from './app-scene.ts';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

const patienceMs = 120_000;
const password = 'correct horse';
let browser: Browser;
let server: BackupServer;
let url: string;
let laterMs = 0;
const service = createFakeService();

beforeAll(async () => {
  await buildPage();
  const signIn = createSignIn({ password, token: null, nowMs: () => Date.now() + laterMs });
  server = createServer({ service, port: 0, signIn });
  ({ url } = await server.listen());
  browser = await openBrowser();
}, patienceMs);
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

test(
  'signing in works without JavaScript, and a wrong password is told',
  async () => {
    const page = await browser.newPage({ javaScriptEnabled: false, viewport: { width: 375, height: 667 } });
    const answer = await page.goto(url);
    expect(answer?.status()).toBe(401);
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('That is not the password.').waitFor();
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(`${url}/`);
    expect(await page.title()).toBe('Database Backup');
    await page.close();
  },
  patienceMs,
);

test(
  'the dashboard signs out, and one whose session ended leads to the form',
  async () => {
    const context = await browser.newContext({ colorScheme: 'dark' });
    const page = await context.newPage();
    const faults: string[] = [];
    page.on('console', (message) => {
      if (/Content.Security.Policy/i.test(message.text())) faults.push(message.text());
    });
    await page.goto(url);
    expect(await axeFaults(page)).toEqual([]);
    const signIn = async () => {
      await page.getByLabel('Password').fill(password);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('button', { name: 'Sign out' }).waitFor();
    };
    await signIn();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Password').waitFor();

    await page.goto(url);
    await signIn();
    await context.clearCookies();
    await page.getByRole('button', { name: 'Backup Now' }).first().click();
    await page.getByLabel('Password').waitFor();
    expect(page.url()).toBe(`${url}/login`);
    expect(faults).toEqual([]);
    await context.close();
  },
  patienceMs,
);

test(
  'an hour later a restore asks for the password, goes on with it, and the page stays signed in',
  async () => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Restore backup of' }).first().click();
    await page.getByLabel(/to confirm/).fill('dev.sqlite');
    laterMs += 61 * 60_000;
    await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click();
    await page.getByRole('textbox', { name: 'Password' }).fill(password);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Restored').first().waitFor();
    expect(service.calls.filter((call) => call.startsWith('restore '))).toEqual(['restore online']);
    expect(service.acts.map(({ act, result }) => `${act} ${result}`).slice(-2)).toEqual([
      ...['request refused', 'confirm-password done'],
    ]);
    await page.reload();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    expect((await page.context().cookies()).filter(({ name }) => name === 'velist-backup').length).toBe(1);
    await page.close();
  },
  patienceMs,
);
