/** A headless browser for the page's tests: the one that npm carries, or the system's where that lacks libraries. */
import { existsSync } from 'node:fs';
import sparticuz from '@sparticuz/chromium';
import { type Browser, chromium } from 'playwright-core';

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const systemBrowser = '/usr/bin/chromium';

/**
 * The package's own arguments are left out: `--single-process` ends the browser with its first closed page, and
 * `--disable-web-security` would hide what these tests look for.
 */
export async function openBrowser(): Promise<Browser> {
  try {
    return await chromium.launch({ executablePath: await sparticuz.executablePath(), args });
  } catch (error) {
    if (!existsSync(systemBrowser)) throw error;
    return chromium.launch({ executablePath: systemBrowser, args });
  }
}
